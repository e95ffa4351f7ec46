import type { Context } from "../../../cli/context.ts";
import { UsageError } from "../../../cli/usage-error.ts";
import type { ByteStream } from "../../../protocol/byte-stream.ts";
import type { AttestedLink } from "../link/attested-link.ts";
import { ForwardDoor } from "./forward-door.ts";
import { type ForwardEnd, ForwardSpecError, parseTarget } from "./forward-spec.ts";
import { requestFor } from "./local-forward.ts";
import { within } from "../../../system/within.ts";
import { clientLimits } from "../limits.ts";
import { asFailure } from "../link/remote-failure.ts";

/** `-W`. Throws `UsageError`. */
export function readTarget(text: string): ForwardEnd {
  try {
    return parseTarget(text);
  } catch (error) {
    if (error instanceof ForwardSpecError) throw new UsageError(`-W ${text} ${error.message}`);
    throw error;
  }
}

/**
 * Joins our standard input and output to a connection in the vault, for another program's
 * ProxyCommand. It ends when both have ended; or when the other side has, and our input is silent: a
 * target that is gone, and one that only listens, cannot be told apart.
 */
export async function forwardStdio(
  context: Context,
  link: AttestedLink,
  { vault, target }: { readonly vault: string; readonly target: ForwardEnd },
): Promise<number> {
  const door = new ForwardDoor(vault);
  door.use(link);
  try {
    const stream = (await door.open(requestFor(target))).release();
    const sender = new StdioSender(context, stream);
    const receiving = receive(stream, context);
    // What goes wrong with sending ends the other half too; what it says comes first.
    sender.done.catch(() => stream.abort(0));
    await receiving;
    const wasFirst = !sender.isDone;
    await sender.untilSilent();
    await untilDelivered(link, wasFirst ? clientLimits.stdioSilentMs : 0);
    stream.abort(0);
    return 0;
  } catch (error) {
    throw asFailure(error, vault);
  }
}

/** Our standard input on its way. */
class StdioSender {
  readonly done: Promise<void>;
  isDone = false;
  #isWriting = false;
  #wroteAtMs: number;
  readonly #monotonicMs: () => number;

  constructor({ stdin, monotonicMs }: Context, stream: ByteStream) {
    this.#monotonicMs = monotonicMs;
    this.#wroteAtMs = monotonicMs();
    this.done = this.#send(stdin, stream);
  }

  /** Resolves when all was sent, or cannot be, or nothing more has come for a while. */
  async untilSilent(): Promise<void> {
    const isDone = this.done.then(
      () => true,
      () => true,
    );
    for (;;) {
      const silentMs = this.#isWriting ? 0 : this.#monotonicMs() - this.#wroteAtMs;
      const leftMs = clientLimits.stdioSilentMs - silentMs;
      if (leftMs <= 0 || (await within(isDone, leftMs)) === true) return;
    }
  }

  async #send(stdin: Context["stdin"], stream: ByteStream): Promise<void> {
    for await (const bytes of stdin.read()) {
      this.#isWriting = true;
      await stream.write(bytes);
      this.#isWriting = false;
      this.#wroteAtMs = this.#monotonicMs();
    }
    await stream.end();
    this.isDone = true;
  }
}

/**
 * Of a target that has ended no sign comes that it has all: what is on its way would go with the link.
 * So no packet has to go out for a few round trips, and longer where it had ended before us.
 */
async function untilDelivered(link: AttestedLink, quietMsMin: number): Promise<void> {
  const { rttMs, sentPackets } = link.connectionStats;
  const quietMs = Math.min(Math.max(4 * rttMs, 50, quietMsMin), clientLimits.stdioSilentMs);
  const untilMs = performance.now() + clientLimits.stdioDeliveryMs;
  for (let sent = sentPackets; performance.now() < untilMs;) {
    await Bun.sleep(quietMs);
    const now = link.connectionStats.sentPackets;
    if (now === sent) return;
    sent = now;
  }
}

async function receive(stream: ByteStream, { stdout }: Context): Promise<void> {
  for (let bytes = await stream.read(); bytes !== null; bytes = await stream.read())
    await stdout.write(bytes);
}
