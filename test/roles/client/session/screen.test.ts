import {
  afterAll,
  afterEach,
  beforeAll,
  beforeEach,
  expect,
  setDefaultTimeout,
  test,
} from "bun:test";
import { cpSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { killSessions } from "../../init/ask.ts";
import { TestMachine } from "../../init/machine.ts";
import { makeBusyboxRootfs } from "../../../support/busybox-rootfs.ts";
import { copyFile, copyProgram } from "../../../support/program-rootfs.ts";
import { TestVault } from "../../../support/test-vault.ts";
import { TmuxScreen } from "../../../support/tmux-screen.ts";

setDefaultTimeout(120_000);

/** Full-screen programs in a real guest, seen by a real terminal: beside the same program run here. */

const programs = ["/usr/bin/vim.tiny", "/usr/bin/less", "/usr/bin/htop"];
const main = fileURLToPath(new URL("../../../../src/main.ts", import.meta.url));
const text = Array.from({ length: 300 }, (_, at) => `line ${at} ${"wörd ".repeat(at % 17)}`);

let vault: TestVault;
let machine: TestMachine;
const screens: TmuxScreen[] = [];
let session = "";

beforeAll(async () => {
  machine = await TestMachine.boot({ rootfs: makeRootfs });
  vault = await TestVault.open();
  vault.keeper = async () => machine.connect();
  writeFileSync(join(vault.folder, "text"), text.join("\n"));
});
afterAll(async () => {
  await vault.close();
  await machine[Symbol.asyncDispose]();
});
beforeEach(() => {
  session = crypto.randomUUID();
});
afterEach(async () => {
  for (const one of screens.splice(0)) one.close();
  await killSessions(machine);
});

function makeRootfs(root: string): void {
  makeBusyboxRootfs(root, { init: "none" });
  for (const program of programs) copyProgram(root, program);
  for (const term of ["s/screen-256color", "x/xterm-256color"])
    copyFile(root, `/lib/terminfo/${term}`);
  cpSync("/usr/lib/locale/C.utf8", join(root, "usr/lib/locale/C.utf8"), { recursive: true });
  mkdirSync(join(root, "srv"));
  writeFileSync(join(root, "srv/text"), text.join("\n"));
}

function screen(command: readonly string[], env: Record<string, string>, size = [100, 30]) {
  const [cols = 0, rows = 0] = size;
  const opened = new TmuxScreen(command, {
    env: { PATH: "/usr/bin:/bin", HOME: "/nowhere", ...env, LANG: "C.UTF-8" },
    cwd: vault.folder,
    cols,
    rows,
  });
  screens.push(opened);
  return opened;
}

function remote(command: readonly string[], size?: number[]): TmuxScreen {
  const words = ["exec", "-q", "-t", "-w", "/srv", "--session", session, "dev", ...command];
  return screen(
    [process.execPath, main, ...words],
    { ...vault.env, TERM: "screen-256color" },
    size,
  );
}

const cases = [
  {
    name: "vim",
    command: ["vim.tiny", "-u", "NONE", "-N", "text"],
    keys: [":set number\r", "120G", "ihello \u001b", "yyp"],
  },
  { name: "less", command: ["less", "-M", "text"], keys: ["50g", "/line 7.\r", "d"] },
] as const;

for (const { name, command, keys } of cases) {
  test(`${name} looks as it does here; after a lost link, and from a window of another size, too`, async () => {
    const here = screen(command, {});
    const there = remote(command);
    for (const one of [here, there]) {
      await one.shows(/line 0/);
      for (const key of keys) {
        one.type(key);
        await Bun.sleep(60);
      }
    }
    await there.looksLike(here);

    await vault.withoutLink(async () =>
      there.shows(/── link down \d\d:\d\d · retrying \(\d+\) · ~\. leaves, session stays ──/),
    );
    await there.looksLike(here);

    for (const [cols = 0, rows = 0] of [
      [80, 24],
      [120, 40],
    ]) {
      const elsewhere = remote([], [cols, rows]);
      here.resize(cols, rows);
      await looksAlike(elsewhere, here);
    }
  });
}

/** Which line is the first depends on all sizes that there were, a moment's too; not so at the end of the text. */
async function looksAlike(there: TmuxScreen, here: TmuxScreen): Promise<void> {
  for (let tries = 1; ; tries++) {
    try {
      await there.looksLike(here, 3000);
      return;
    } catch (error) {
      if (tries > 5) throw error;
      for (const one of [here, there]) one.type("G");
    }
  }
}

test("htop draws its frame, and again after a lost link and in a larger window", async () => {
  const frame = /PID[^]*USER[^]*\nF1Help.*F10Quit *\s*$/;
  const there = remote(["htop", "-d", "100"]);
  await there.shows(frame);
  await vault.withoutLink(async () => there.shows(/link down/));
  await there.shows(frame);
  const larger = remote([], [120, 40]);
  await larger.shows(frame);
  expect(larger.text.split("\n").length).toBe(41);
});

test("at a prompt in the last row the lines stay whole, with the status line below them", async () => {
  const there = screen([process.execPath, main, "connect", "-q", "dev"], {
    ...vault.env,
    TERM: "screen-256color",
  });
  await there.shows(/#/);
  there.type("for i in $(seq 40); do echo line $i; done; printf 'abc'\r");
  await there.shows(/line 40\nabc/);
  const lines = there.text.trimEnd().split("\n");
  const [column] = there.cursor.split(",");
  await vault.withoutLink(async () => there.shows(/line 40\nabc.*\n── link down/));
  await there.shows(/line 40\nabc.*\n *\n$/);
  expect(there.text.trimEnd().split("\n")).toEqual(lines.slice(1));
  expect(there.cursor).toBe(`${column},28\n`);
});

test("what the client itself says or asks while the link is away has rows of its own, above the status line", async () => {
  const there = screen([process.execPath, main, "connect", "-q", "dev"], {
    ...vault.env,
    TERM: "screen-256color",
  });
  await there.shows(/#/);
  there.type("for i in $(seq 40); do echo line $i; done\r");
  await there.shows(/line 40\n.*# *\n$/);
  const down = String.raw`── link down \d\d:\d\d .*──\n$`;
  await vault.withoutLink(async () => {
    await there.shows(/# *\n── link down/);
    there.type("\r~s");
    const said = String.raw`# *\nlink down for \d\d:\d\d, attempt \d+ *\n *\n`;
    await there.shows(new RegExp(said + down));
    there.type("\r~x");
    await there.shows(new RegExp(String.raw`\nend the session .* \[y/N\] *\n${down}`));
    there.type("n\r");
  });
  there.type("echo back\r");
  await there.shows(/\nback\n/);
});
