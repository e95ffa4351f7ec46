import type { ByteStream } from "../../../protocol/byte-stream.ts";
import { RemoteError } from "../../../protocol/errors.ts";
import { splice } from "../../../system/splice.ts";
import { late, within } from "../../../system/within.ts";
import { clientLimits } from "../limits.ts";
import { SocksHandshake, type SocksOutcome, type SocksTarget } from "./socks.ts";

export interface SocksServices {
  readonly open: (target: SocksTarget) => Promise<ByteStream>;
  /** Told why a connection is not served. */
  readonly refused: (because: string) => void;
}

/** One connection to a SOCKS port, from its first byte to its end. */
export async function serveSocks(
  local: ByteStream,
  { open, refused }: SocksServices,
): Promise<void> {
  const handshake = new SocksHandshake();
  const target = await within(shakeHands(local, handshake, refused), clientLimits.socksMs);
  if (target === late || target === undefined) {
    local.abort(0);
    return;
  }
  let remote: ByteStream;
  try {
    remote = await open(target);
  } catch (error) {
    await local.write(handshake.reply(outcomeOf(error)));
    await local.end();
    return;
  }
  await local.write(handshake.reply("connected"));
  await splice(withFirst(local, handshake.rest), remote);
}

/** Undefined where it came to nothing; that was said. */
async function shakeHands(
  local: ByteStream,
  handshake: SocksHandshake,
  refused: SocksServices["refused"],
): Promise<SocksTarget | undefined> {
  for (;;) {
    const step = handshake.next();
    switch (step.kind) {
      case "connect":
        return step.target;
      case "send":
        await local.write(step.bytes);
        break;
      case "refuse":
        refused(step.because);
        await local.write(step.bytes);
        await local.end();
        return undefined;
      case "wait": {
        const bytes = await local.read();
        if (bytes === null || handshake.length + bytes.length > clientLimits.socksBytesMax)
          return undefined;
        handshake.push(bytes);
      }
    }
  }
}

function outcomeOf(error: unknown): SocksOutcome {
  if (!(error instanceof RemoteError)) return "failed";
  if (error.code === "forward-refused") return "refused";
  return error.code === "forward-unreachable" ? "unreachable" : "failed";
}

function withFirst(stream: ByteStream, first: Uint8Array): ByteStream {
  let early: Uint8Array | undefined = first.length === 0 ? undefined : first;
  return {
    read: async () => {
      const bytes = early;
      early = undefined;
      return bytes ?? stream.read();
    },
    write: (bytes) => stream.write(bytes),
    end: () => stream.end(),
    abort: (code) => stream.abort(code),
  };
}
