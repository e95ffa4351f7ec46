import { isIP } from "node:net";

/**
 * Checks for what is handed to native code. There, a negative size or a code beyond 62 bits is no
 * error but a panic, and a panic in the native half aborts the whole process.
 */
export function checkInteger(name: string, value: number, min: number, max: number): number {
  if (!Number.isSafeInteger(value) || value < min || value > max) {
    throw new RangeError(`${name} must be an integer from ${min} to ${max}, not ${String(value)}`);
  }
  return value;
}

export function checkBytes(name: string, value: Uint8Array, min: number, max: number): Uint8Array {
  if (!(value instanceof Uint8Array)) throw new TypeError(`${name} must be a Uint8Array`);
  if (value.byteLength < min || value.byteLength > max) {
    throw new RangeError(`${name} must have ${min} to ${max} bytes, not ${value.byteLength}`);
  }
  return value;
}

/** Native code would ask the resolver, and block, for anything that is not a plain address. */
export function checkHost(name: string, host: string): string {
  if (typeof host !== "string" || isIP(host) === 0 || host.includes("%")) {
    throw new RangeError(`${name} must be a numeric address without a zone, not ${host}`);
  }
  return host;
}

export function checkPort(name: string, port: number): number {
  return checkInteger(name, port, 0, 65_535);
}

/** Key material goes to memory or a pipe of ours, never to a file with a name. */
export function checkDescriptorPath(name: string, path: string): string {
  if (!/^\/(?:proc\/self|dev)\/fd\/\d{1,9}$/.test(path)) {
    throw new RangeError(`${name} must name an open descriptor, not a file`);
  }
  return path;
}

export function checkBoolean(name: string, value: boolean): boolean {
  if (typeof value !== "boolean") throw new TypeError(`${name} must be true or false`);
  return value;
}
