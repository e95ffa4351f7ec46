import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import type { ByteStream } from "../../../../src/protocol/byte-stream.ts";
import { Writer } from "../../../../src/protocol/wire.ts";
import { guardAgent } from "../../../../src/roles/client/ssh/agent-guard.ts";
import { clientLimits } from "../../../../src/roles/client/limits.ts";
import { memoryPair } from "../../../support/memory-stream.ts";
import { seeded } from "../../../support/seed.ts";

/** What programs in a vault may ask of the agent of this computer. */

const failure = "0000000105";
const identities = message(11);
const sign = message(13, 1, 2, 3);

describe("an agent that is lent", () => {
  test("lists its keys and signs", async () => {
    const stage = startAgent();
    expect(await stage.ask(identities)).toBe(hex(message(12, 11)));
    expect(await stage.ask(sign)).toBe(hex(message(12, 13)));
    expect(await stage.ask(extensionCalled("session-bind@openssh.com"))).toBe(hex(message(12, 27)));
    await stage.program.end();
    await stage.guarding;
    expect(stage.heard).toEqual([11, 13, 27]);
  });

  test("takes no keys, no lock, no libraries, and hears of nothing that is refused", async () => {
    const stage = startAgent();
    for (let type = 0; type < 256; type += 1) {
      if (type === 11 || type === 13) continue;
      expect(await stage.ask(message(type, 0, 0, 0, 4, 0x2f, 0x74, 0x6d, 0x70))).toBe(failure);
    }
    for (const name of ["query", "session-bind@openssh.com.", "", "restrict@x"])
      expect(await stage.ask(extensionCalled(name))).toBe(failure);
    expect(stage.heard).toEqual([]);
    stage.program.abort(0);
    await stage.guarding.catch(() => undefined);
  });

  test("is asked one thing after the other, however the bytes are cut", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.integer({ min: 1, max: 9 }), { maxLength: 20 }),
        async (cuts) => {
          const stage = startAgent();
          const all = Buffer.concat([identities, message(17, 9), sign, identities]);
          let from = 0;
          for (const cut of cuts) {
            if (from >= all.length) break;
            await stage.program.write(all.subarray(from, from + cut));
            from += cut;
          }
          if (from < all.length) await stage.program.write(all.subarray(from));
          await stage.program.end();
          const wanted = [message(12, 11), Buffer.from(failure, "hex"), message(12, 13)];
          const text = await readAll(stage.program);
          expect(text).toBe(hex(Buffer.concat([...wanted, message(12, 11)])));
          await stage.guarding;
        },
      ),
      seeded(50),
    );
  });

  test("hangs up on a message that is too long, or none", async () => {
    for (const length of [0, clientLimits.agentMessageBytesMax + 1]) {
      const stage = startAgent();
      await stage.program.write(new Writer().u32(length).finish());
      expect(await stage.guarding.then(() => "ended").catch(() => "refused")).toBe("refused");
    }
    const stage = startAgent();
    const largest = new Uint8Array(clientLimits.agentMessageBytesMax - 1);
    expect(await stage.ask(message(13, ...largest))).toBe(hex(message(12, 13)));
  });
});

/** Answers each question with the type that it had. */
function startAgent() {
  const outer = memoryPair();
  const inner = memoryPair();
  const heard: number[] = [];
  const guarding = guardAgent(outer.far, inner.near);
  guarding.catch(() => undefined);
  void answerAll(inner.far, heard).catch(() => undefined);
  const ask = async (question: Uint8Array): Promise<string> => {
    await outer.near.write(question);
    const parts: Uint8Array[] = [];
    for (;;) {
      const bytes = await outer.near.read();
      if (bytes === null) return "ended";
      parts.push(bytes);
      const joined = Buffer.concat(parts);
      if (joined.length >= 4 && joined.length >= 4 + joined.readUInt32BE(0)) return hex(joined);
    }
  };
  return { program: outer.near, heard, guarding, ask };
}

async function answerAll(stream: ByteStream, heard: number[]): Promise<void> {
  let held = Buffer.alloc(0);
  for (let bytes = await stream.read(); bytes !== null; bytes = await stream.read()) {
    held = Buffer.concat([held, bytes]);
    while (held.length >= 5 && held.length >= 4 + held.readUInt32BE(0)) {
      heard.push(held[4] ?? 0);
      await stream.write(message(12, held[4] ?? 0));
      held = held.subarray(4 + held.readUInt32BE(0));
    }
  }
}

async function readAll(stream: ByteStream): Promise<string> {
  const parts: Uint8Array[] = [];
  for (let bytes = await stream.read(); bytes !== null; bytes = await stream.read())
    parts.push(bytes);
  return hex(Buffer.concat(parts));
}

function message(type: number, ...body: readonly number[]): Uint8Array {
  return new Writer()
    .u32(1 + body.length)
    .u8(type)
    .bytes(Uint8Array.from(body))
    .finish();
}

function extensionCalled(name: string): Uint8Array {
  const bytes = new TextEncoder().encode(name);
  return message(27, 0, 0, 0, bytes.length, ...bytes);
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("hex");
}
