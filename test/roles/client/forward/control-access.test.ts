import { afterAll, afterEach, expect, test } from "bun:test";
import { chmodSync, existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  type ControlSocket,
  openControlSocket,
} from "../../../../src/roles/client/forward/control-socket.ts";
import { connectUnix } from "../../../../src/system/tcp-stream.ts";
import { programEnv } from "../../../support/program.ts";

/** Who is let in at a control socket, and what is left of it. */

const folder = mkdtempSync(join(tmpdir(), "fv-control-"));
const path = join(folder, "control.sock");
const open: ControlSocket[] = [];
afterEach(() => {
  for (const socket of open.splice(0)) socket.close();
  rmSync(path, { force: true });
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const curl = ["curl", "-sS", "--max-time", "5", "--unix-socket", path, "http://localhost/"];
const asNobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"];

test("another user is kept out by its mode, whatever folder it is in", async () => {
  await serve();
  chmodSync(folder, 0o777);
  expect(await run(curl)).toBe("in");
  expect(await run([...asNobody, ...curl])).toBe("");
});

test("a head without end is refused, one that never comes holds up nobody", async () => {
  await serve();
  const endless = await connectUnix(path);
  const writing = (async () => {
    await endless.write(new TextEncoder().encode("GET / HTTP/1.1\r\nx: "));
    for (let count = 0; count < 1024; count++) await endless.write(new Uint8Array(16_384).fill(97));
    return "taken";
  })().catch(() => "refused");
  const slow = await connectUnix(path);
  await slow.write(new TextEncoder().encode("GET / HT"));
  expect(await run(curl)).toBe("in");
  expect(await writing).toBe("refused");
  slow.abort(0);
});

test("requests that come before their answers are answered in order", async () => {
  await serve();
  const stream = await connectUnix(path);
  const one = "GET / HTTP/1.1\r\nhost: x\r\n\r\n";
  await stream.write(
    new TextEncoder().encode(one.repeat(3).replace(/\r\n\r\n$/, "\r\nconnection: close\r\n\r\n")),
  );
  let text = "";
  for (let bytes = await stream.read(); bytes !== null; bytes = await stream.read())
    text += new TextDecoder().decode(bytes);
  expect(text.match(/HTTP\/1\.1 200 OK/g)).toHaveLength(3);
  await stream.end();
});

test("its name goes with it, and what took its name stays", async () => {
  const first = await serve();
  first.close();
  expect(existsSync(path)).toBe(false);
  const second = await serve();
  rmSync(path);
  await Bun.write(path, "precious");
  second.close();
  expect(await Bun.file(path).text()).toBe("precious");
});

async function serve(): Promise<ControlSocket> {
  const socket = await openControlSocket(path, (_request, response) => response.end("in"));
  open.push(socket);
  return socket;
}

async function run(argv: readonly string[]): Promise<string> {
  const child = Bun.spawn([...argv], {
    env: programEnv(),
    stdin: "ignore",
    stdout: "pipe",
    stderr: "ignore",
  });
  return child.stdout.text();
}
