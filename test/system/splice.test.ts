import { expect, test } from "bun:test";
import { type ByteStream, StreamError } from "../../src/protocol/byte-stream.ts";
import { splice } from "../../src/system/splice.ts";

/** Gives `reads` at once, then waits for ever unless it ends or fails; notes what is written. */
function scripted(reads: readonly (number | Error)[], ends = true) {
  const writes: Uint8Array[] = [];
  const queue = [...reads];
  let fill = 0;
  const stream: ByteStream = {
    read: () => {
      const next = queue.shift();
      if (next instanceof Error) return Promise.reject(next);
      if (next !== undefined) return Promise.resolve(new Uint8Array(next).fill(++fill));
      return ends ? Promise.resolve(null) : new Promise(() => undefined);
    },
    write: async (bytes) => {
      writes.push(bytes.slice());
      await Bun.sleep(1);
    },
    end: async () => undefined,
    abort: () => undefined,
  };
  return { stream, writes };
}

test("what is there already travels as one write, up to 64 KiB, in order", async () => {
  const sizes = [16_384, 16_384, 16_384, 16_384, 10, 20, 65_536, 70_000, 5, 65_535];
  const [from, to] = [scripted(sizes), scripted([])];
  const { aToBBytes } = await splice(from.stream, to.stream);
  expect(to.writes.map(({ length }) => length)).toEqual([65_536, 30, 65_536, 70_000, 5, 65_535]);
  const expected = Buffer.concat(sizes.map((size, at) => Buffer.alloc(size, at + 1)));
  expect(Buffer.concat(to.writes).equals(expected)).toBeTrue();
  expect(aToBBytes).toBe(expected.length);
});

test("a byte that comes alone is not kept waiting for the next one", async () => {
  const [from, to] = [scripted([1], false), scripted([], false)];
  void splice(from.stream, to.stream);
  await Bun.sleep(5);
  expect(to.writes.map(({ length }) => length)).toEqual([1]);
});

test("what came before a failure is passed on before the failure is", async () => {
  const broken = new StreamError("reset", "gone");
  const [from, to] = [scripted([100, 200, broken]), scripted([])];
  const { error } = await splice(from.stream, to.stream);
  expect(error).toBe(broken);
  expect(to.writes.map(({ length }) => length)).toEqual([300]);
});
