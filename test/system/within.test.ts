import { expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { ByteStream } from "../../src/protocol/byte-stream.ts";
import { connectUnix, listenUnix } from "../../src/system/tcp-stream.ts";
import { late, within } from "../../src/system/within.ts";
import { rejection } from "../support/rejection.ts";

test("within gives the outcome that came in time", async () => {
  expect(await within(Promise.resolve(7), 1000)).toBe(7);
  const failing = within(Promise.reject(new RangeError("no")), 1000);
  expect(await rejection(failing)).toBeInstanceOf(RangeError);
});

test("within gives late, and looks after what fails afterwards", async () => {
  const { promise, reject } = Promise.withResolvers<number>();
  expect(await within(promise, 5)).toBe(late);
  // Unhandled, this would end the test run.
  reject(new RangeError("too late"));
  await Bun.sleep(5);
});

test("a program that stood still looks at its sockets before it calls them late", async () => {
  const folder = mkdtempSync(join(tmpdir(), "fv-late-"));
  const path = join(folder, "socket");
  let accepted = Promise.withResolvers<ByteStream>();
  const server = listenUnix(path, { onConnection: (stream) => accepted.resolve(stream) });
  try {
    for (let round = 0; round < 5; round++) {
      const connecting = connectUnix(path, 20);
      standStill(60);
      const stream = await connecting;
      const peer = await accepted.promise;
      await peer.write(Uint8Array.of(7));
      const reading = within(stream.read(), 20);
      standStill(60);
      expect(await reading).toEqual(Uint8Array.of(7));
      accepted = Promise.withResolvers();
      await Promise.all([stream.end(), peer.end()]);
    }
  } finally {
    server.close();
    rmSync(folder, { recursive: true });
  }
});

function standStill(ms: number): void {
  const endMs = performance.now() + ms;
  while (performance.now() < endMs) {
    // No turn of the event loop.
  }
}
