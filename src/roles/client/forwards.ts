import * as v from "valibot";
import { Failure } from "../../cli/failure.ts";
import type { ByteStream } from "../../protocol/byte-stream.ts";
import { FrameStream } from "../../protocol/frame.ts";
import { request } from "../../protocol/message.ts";
import { splice } from "../../system/splice.ts";
import { type Listening, listenTcp, SocketError } from "../../system/tcp-stream.ts";
import { late, within } from "../../system/within.ts";
import { answer } from "./answer.ts";
import type { ForwardKind, LiveForwards } from "./forward-line.ts";
import { type Forward, parseForward, showForward } from "./forward-spec.ts";
import { clientLimits } from "./limits.ts";
import type { AttestedLink } from "./attested-link.ts";
import { asFailure } from "./remote-failure.ts";

/** Listeners here, each connection a stream to the vault. They outlive the link: new ones wait for it. */
export class Forwards implements LiveForwards {
  readonly #vault: string;
  readonly #note: (line: string) => void;
  readonly #linkReady = Promise.withResolvers<AttestedLink>();
  readonly #listeners: { readonly forward: Forward; readonly listening: Listening }[] = [];
  #connections = 0;

  /** Binds every port before anything is sent. Throws `Failure` when one is taken. */
  constructor(vault: string, forwards: readonly Forward[], note: (line: string) => void) {
    this.#vault = vault;
    this.#note = note;
    try {
      for (const forward of forwards) this.#listen(forward);
    } catch (error) {
      this.close();
      throw error;
    }
  }

  /** One line for each, as `127.0.0.1:3000 -> localhost:3000`. */
  get lines(): readonly string[] {
    return this.#listeners.map(({ forward }) => showForward(forward));
  }

  get connectionCount(): number {
    return this.#connections;
  }

  /** One more while the others go on; the words of a refusal are for whoever typed it. */
  async add(kind: ForwardKind, spec: string): Promise<string> {
    const forward = kind === "L" ? parseForward(spec) : undefined;
    if (kind !== "L") throw new Error(`-${kind} cannot be added yet`);
    if (forward === undefined) throw new Error(`-L ${spec} is no forward: [BIND:]LOCAL:HOST:PORT`);
    if (this.#listeners.length >= clientLimits.forwardPortsMax)
      throw new Error(`${clientLimits.forwardPortsMax} ports are forwarded already`);
    this.#listen(forward);
    return showForward(forward);
  }

  /** By port, or address and port, of this computer. What is connected stays. */
  remove(listen: string): boolean {
    const at = this.#listeners.findIndex(({ forward: { bind, localPort } }) =>
      [`${localPort}`, `${bind}:${localPort}`, `[${bind}]:${localPort}`].includes(listen),
    );
    if (at === -1) return false;
    const [removed] = this.#listeners.splice(at, 1);
    removed?.listening.close();
    return true;
  }

  use(link: AttestedLink): void {
    this.#linkReady.resolve(link);
  }

  close(): void {
    for (const { listening } of this.#listeners) listening.close();
  }

  #listen(forward: Forward): void {
    const address = { host: forward.bind, port: forward.localPort };
    const onConnection = (stream: ByteStream): void => {
      this.#serve(forward, stream).catch((error: unknown) => {
        stream.abort(0);
        this.#note(`${forward.localPort}: ${describe(error)}`);
      });
    };
    const options = { connectionsMax: clientLimits.forwardConnectionsMax, onConnection };
    try {
      this.#listeners.push({ forward, listening: listenTcp(address, options) });
    } catch (error) {
      throw cannotListen(forward, error);
    }
  }

  async #serve(forward: Forward, local: ByteStream): Promise<void> {
    this.#connections += 1;
    try {
      const remote = await this.#openRemote(forward);
      const { error } = await splice(local, remote);
      if (error?.kind === "connection-lost") throw error;
    } finally {
      this.#connections -= 1;
    }
  }

  async #openRemote(forward: Forward): Promise<ByteStream> {
    const connecting = this.#linkReady.promise.then((link) => link.connection());
    const connection = await within(connecting, clientLimits.forwardWaitMs);
    if (connection === late)
      throw new Failure("FV-NET-003", `the link to "${this.#vault}" is down`);
    const frames = new FrameStream(await connection.openStream());
    const { host, port } = forward;
    try {
      await answer(request(frames, { type: "forward", host, port }, v.object({})));
    } catch (error) {
      frames.stream.abort(0);
      throw asFailure(error, this.#vault);
    }
    return frames.release();
  }
}

function cannotListen(forward: Forward, error: unknown): unknown {
  if (!(error instanceof SocketError)) return error;
  const { bind, localPort, host, port } = forward;
  const where = `${bind}:${localPort}`;
  if (error.code === "EADDRINUSE")
    return new Failure("FV-FWD-001", `port ${localPort} on this computer is in use`, {
      because: `another program listens on ${where}`,
      fix: `choose another one:  -L ${localPort === 65_535 ? 1024 : localPort + 1}:${host}:${port}`,
    });
  return new Failure("FV-FWD-002", `cannot listen on ${where}`, {
    because: error.code,
    ...(error.code === "EACCES"
      ? { fix: `ports below 1024 need root; use  -L ${localPort + 8000}:${host}:${port}` }
      : {}),
  });
}

function describe(error: unknown): string {
  if (error instanceof Failure)
    return error.because === undefined ? error.message : `${error.message} (${error.because})`;
  return error instanceof Error ? error.message : String(error);
}
