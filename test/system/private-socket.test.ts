import { afterAll, afterEach, expect, test } from "bun:test";
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, unlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { listenPrivateUnix } from "../../src/system/private-socket.ts";
import { connectUnix } from "../../src/system/tcp-stream.ts";

const folder = mkdtempSync(join(tmpdir(), "fv-private-socket-"));
const path = join(folder, "a.sock");
const options = { onConnection: () => undefined };
afterEach(() => rmSync(path, { force: true }));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

test("a socket is its owner's alone, and goes with its listener", async () => {
  const listening = listenPrivateUnix(path, options);
  expect(statSync(path).mode & 0o777).toBe(0o600);
  (await connectUnix(path)).abort(0);
  listening.close();
  expect(existsSync(path)).toBe(false);
});

test("what has its name by then stays: a file, or the socket of another listener", async () => {
  const first = listenPrivateUnix(path, options);
  unlinkSync(path);
  const second = listenPrivateUnix(path, options);
  first.close();
  (await connectUnix(path)).abort(0);
  unlinkSync(path);
  await Bun.write(path, "precious");
  second.close();
  expect(readFileSync(path, "utf8")).toBe("precious");
  rmSync(path);
  const third = listenPrivateUnix(path, options);
  rmSync(path);
  third.close();
});
