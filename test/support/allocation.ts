/**
 * Bytes of typed arrays made while `work` runs: what a decoder asks for, whether or not it keeps it.
 * Counts `new Uint8Array(length)` and `slice`; views cost nothing.
 */
export function allocatedBytes(work: () => void): number {
  const original = globalThis.Uint8Array;
  const inherited = Object.getPrototypeOf(original.prototype) as { slice: () => unknown };
  let bytes = 0;
  globalThis.Uint8Array = new Proxy(original, {
    construct(target, args: unknown[], newTarget): object {
      if (typeof args[0] === "number") bytes += args[0];
      return Reflect.construct(target, args, newTarget) as object;
    },
  });
  original.prototype.slice = function counted(this: Uint8Array, ...args): Uint8Array<ArrayBuffer> {
    const copy = Reflect.apply(inherited.slice, this, args) as Uint8Array<ArrayBuffer>;
    bytes += copy.length;
    return copy;
  };
  try {
    work();
  } finally {
    globalThis.Uint8Array = original;
    Reflect.deleteProperty(original.prototype, "slice");
  }
  return bytes;
}
