import type { Context } from "../../../cli/context.ts";
import { UsageError } from "../../../cli/usage-error.ts";
import type { ByteStream } from "../../../protocol/byte-stream.ts";
import type { AttestedLink } from "../link/attested-link.ts";
import { ForwardDoor } from "./forward-door.ts";
import { type ForwardEnd, ForwardSpecError, parseTarget } from "./forward-spec.ts";
import { requestFor } from "./local-forward.ts";
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
 * ProxyCommand. It ends when the other side has ended: what it had to say was said.
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
    const sending = send(context, stream);
    const receiving = receive(stream, context);
    // What goes wrong with sending ends the other half too; what it says comes first.
    sending.catch(() => stream.abort(0));
    await receiving;
    stream.abort(0);
    return 0;
  } catch (error) {
    throw asFailure(error, vault);
  }
}

async function send({ stdin }: Context, stream: ByteStream): Promise<void> {
  for await (const bytes of stdin.read()) await stream.write(bytes);
  await stream.end();
}

async function receive(stream: ByteStream, { stdout }: Context): Promise<void> {
  for (let bytes = await stream.read(); bytes !== null; bytes = await stream.read())
    await stdout.write(bytes);
}
