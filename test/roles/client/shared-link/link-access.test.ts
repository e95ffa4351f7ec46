import { afterAll, beforeAll, expect, test } from "bun:test";
import { chmodSync, mkdtempSync, readdirSync, readlinkSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { linkFolder } from "../../../../src/roles/client/shared-link/link-place.ts";
import { connectLink, NoSharedLink } from "../../../../src/roles/client/shared-link/link-start.ts";
import { LinkStage, until } from "../../../support/link-stage.ts";
import { programEnv } from "../../../support/program.ts";
import { rejection } from "../../../support/rejection.ts";

/** Who may use a background link, and what it takes along from whoever starts it. */

const nobody = 65_534;
let stage: LinkStage;
beforeAll(async () => {
  stage = await LinkStage.open();
});
afterAll(async () => {
  await stage.close();
});

/** Runs a script as another user; gives what it printed. */
function asNobody(script: string): Bun.Subprocess<"ignore", "pipe", "inherit"> {
  const words = ["setpriv", `--reuid=${nobody}`, `--regid=${nobody}`, "--clear-groups"];
  return Bun.spawn([...words, process.execPath, "-e", script], {
    cwd: "/",
    env: programEnv(),
    stdin: "ignore",
    stdout: "pipe",
    stderr: "inherit",
    timeout: 20_000,
    killSignal: "SIGKILL",
  });
}

test("another user is not answered, even where the modes would let them in", async () => {
  expect((await stage.exec(["--", "true"])).code).toBe(0);
  const socket = readdirSync(stage.folder).find((name) => name.endsWith(".sock")) ?? "";
  const path = join(stage.folder, socket);
  const script = `
    const message = Buffer.from('{"type":"describe"}');
    const head = Buffer.from([1, 0, 0, 0, message.length]);
    let told = "";
    try {
      await Bun.connect({ unix: ${JSON.stringify(path)}, socket: {
        open: (socket) => socket.write(Buffer.concat([head, message])),
        data: (_, bytes) => { told += bytes; },
        close: () => { console.log("closed", told.length); process.exit(); },
      } });
    } catch (error) { console.log(error.code); process.exit(); }`;
  // The folder and the socket keep them out.
  expect(await asNobody(script).stdout.text()).toBe("EACCES\n");
  const folders = [stage.vault.folder, stage.runtime, stage.folder];
  for (const folder of folders) chmodSync(folder, 0o755);
  chmodSync(path, 0o777);
  try {
    // Here only the kernel's word on who it is does.
    expect(await asNobody(script).stdout.text()).toMatch(/^(closed 0|ECONNRESET)\n$/);
  } finally {
    for (const folder of folders) chmodSync(folder, 0o700);
    chmodSync(path, 0o600);
  }
  expect(await stage.links()).toHaveLength(1);
});

test("a socket that another user serves is not used", async () => {
  const folder = mkdtempSync(join(tmpdir(), "fly-vault-"));
  chmodSync(folder, 0o777);
  const path = join(folder, "socket");
  const server = asNobody(`
    Bun.listen({ unix: ${JSON.stringify(path)}, socket: { data() {} } });
    console.log("ready");
    setTimeout(() => process.exit(), 10_000);`);
  try {
    await server.stdout.getReader().read();
    const error = await rejection(connectLink(path));
    expect(error).toBeInstanceOf(NoSharedLink);
    expect(error).toHaveProperty("message", `${path} is served by another user (${nobody})`);
  } finally {
    server.kill("SIGKILL");
    await server.exited;
    rmSync(folder, { recursive: true });
  }
});

test("nothing of the command that starts it stays open in the link", async () => {
  await stage.stop();
  const main = join(import.meta.dir, "../../../../src/main.ts");
  const script = `exec 7>"$HOME/seven" 8<"$HOME"; "$@"`;
  const words = [process.execPath, main, "exec", "dev", "--", "true"];
  const child = Bun.spawn(["sh", "-c", script, "sh", ...words], {
    env: stage.env,
    stdin: "ignore",
    stdout: "ignore",
    stderr: "ignore",
  });
  expect(await child.exited).toBe(0);
  const pid = await stage.pid();
  const open = readdirSync(`/proc/${pid}/fd`).map((fd) => {
    try {
      return readlinkSync(`/proc/${pid}/fd/${fd}`);
    } catch {
      return "";
    }
  });
  expect(open.filter((path) => path === stage.vault.folder || path.endsWith("seven"))).toEqual([]);
  expect(readlinkSync(`/proc/${pid}/cwd`)).toBe("/");
  await stage.stop();
  await until(() => stage.processes().length === 0);
});

test("the folder of somebody else's login is not used", () => {
  expect(linkFolder({ HOME: "/h", XDG_RUNTIME_DIR: stage.runtime })).toBe(stage.folder);
  expect(linkFolder({ HOME: "/h", XDG_RUNTIME_DIR: "/proc/nowhere" })).toBe(
    "/h/.local/state/fly-vault/link",
  );
  expect(linkFolder({ FLY_VAULT_HOME: "/f", XDG_RUNTIME_DIR: stage.runtime })).toBe("/f/link");
  expect(linkFolder({ FLY_VAULT_HOME: `/${"f".repeat(90)}` })).toBe(
    `/tmp/fly-vault-${process.geteuid?.()}`,
  );
});
