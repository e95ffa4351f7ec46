import { digests } from "../../src/fly/digests.ts";
import { WireError } from "../../src/protocol/errors.ts";
import {
  encodeLoginMessage,
  type LoginMessage,
  LoginMessageDecoder,
  type LoginMessageKind,
} from "../../src/protocol/login-message.ts";
import { LoginServer } from "../../src/protocol/login-server.ts";
import { allocatedBytes } from "../support/allocation.ts";
import { type FuzzTarget, isSampled, someSlices } from "../support/fuzz.ts";
import { pick } from "../support/mutation.ts";
import { between, type Random, randomBytes } from "../support/seed.ts";

const jwt = new TextEncoder().encode("eyJh.eyJp.c2ln");
const toServer = ["hello", "proof"] as const;
const toClient = ["evidence", "accept"] as const;

function anyHello(random: Random): Uint8Array {
  const version = pick(random, [0, 1, 2, 255]);
  const features = between(random, 0, 2 ** 32 - 1);
  return encodeLoginMessage({ kind: "hello", version, nonce: randomBytes(random, 32), features });
}

function anyProof(random: Random): Uint8Array {
  return encodeLoginMessage({ kind: "proof", proof: randomBytes(random, 32) });
}

/** All four messages, by either side's decoder: the same for every cut, nothing of the other direction. */
export const loginMessages: FuzzTarget = {
  name: "login messages",
  runs: 400_000,
  planned: 5_000_000,
  corpus: (random) =>
    Array.from({ length: 100 }, () => [
      anyHello(random),
      anyProof(random),
      Buffer.concat([anyHello(random), anyProof(random)]),
      encodeLoginMessage({ kind: "evidence", nonce: randomBytes(random, 32), features: 7, jwt }),
      encodeLoginMessage({
        kind: "accept",
        proof: randomBytes(random, 32),
        parameters: randomBytes(random, between(random, 1, 200)),
      }),
    ]).flat(),
  check: (bytes) => {
    const odd = ((bytes[0] ?? 0) & 1) === 1;
    const messages = checkedMessages(bytes, odd ? toServer : toClient);
    const others = isSampled(bytes, 8) ? checkedMessages(bytes, odd ? toClient : toServer) : 0;
    if (others > 0) throw new Error("a message that both sides take");
    if (isSampled(bytes, 64)) checkAllocation(bytes);
    return messages > 0;
  },
};

function checkedMessages(bytes: Uint8Array, kinds: readonly LoginMessageKind[]): number {
  const whole = decoded([bytes], kinds);
  const cut = decoded(someSlices(bytes), kinds);
  // One push with a mistake gives none of its messages; in slices those before it are out already.
  if (cut.error !== whole.error) throw new Error(`cut: ${cut.error}, whole: ${whole.error}`);
  let at = 0;
  for (const message of cut.messages) {
    const again = encodeLoginMessage(message);
    if (!kinds.includes(message.kind)) throw new Error(`${message.kind} is not expected`);
    if (Buffer.compare(again, bytes.subarray(at, at + again.length)) !== 0)
      throw new Error(`${message.kind} is not canonical`);
    at += again.length;
  }
  return cut.messages.length;
}

function decoded(
  slices: readonly Uint8Array[],
  kinds: readonly LoginMessageKind[],
): { messages: LoginMessage[]; error: string | undefined } {
  const decoder = new LoginMessageDecoder(kinds);
  const messages: LoginMessage[] = [];
  try {
    for (const slice of slices) messages.push(...decoder.push(slice));
    return { messages, error: undefined };
  } catch (error) {
    if (!(error instanceof WireError)) throw error;
    return { messages, error: error.message };
  }
}

/** A stranger gets no more than this out of a machine's memory. */
function checkAllocation(bytes: Uint8Array): void {
  const slices = someSlices(bytes);
  const used = allocatedBytes(() => decoded(slices, toServer));
  if (used > 4 * bytes.length + 4096) throw new Error(`${used} bytes for ${bytes.length}`);
}

/** The machine's whole side of the login: without the token nothing leads to ACCEPT, and nothing throws. */
export const loginServer: FuzzTarget = {
  name: "login of a machine",
  runs: 100_000,
  corpus: (random) =>
    Array.from({ length: 100 }, () => [
      anyHello(random),
      Buffer.concat([anyHello(random), anyProof(random)]),
    ]).flat(),
  check: (bytes) => {
    const server = newServer();
    let minted = false;
    for (const slice of someSlices(bytes)) {
      server.receive(slice);
      for (let output = server.poll(); output.kind !== "wait"; output = server.poll()) {
        if (output.kind === "proven" || output.kind === "accepted")
          throw new Error(`${output.kind} without the token`);
        if (output.kind === "failed") return minted;
        if (output.kind === "mint") server.receiveEvidence(jwt, 0);
        minted = true;
      }
    }
    server.receiveEnd();
    if (server.poll().kind !== "failed") throw new Error("the login outlives its stream");
    return minted;
  },
};

function newServer(): LoginServer {
  return new LoginServer({
    channel: {
      alpn: "fly-vault/1",
      certificate: new Uint8Array(385).fill(7),
      binding: new Uint8Array(32).fill(8),
    },
    machine: { appName: "dev-vaults", machineId: "148e21ea7e46e8" },
    keys: { client: new Uint8Array(32).fill(1), server: new Uint8Array(32).fill(2) },
    nonce: new Uint8Array(32).fill(9),
    features: 0,
    versions: { oldest: 1, newest: 1 },
    digests,
    nowMs: 0,
  });
}
