import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import {
  chmodSync,
  chownSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import {
  changedLines,
  includeLine,
  inlineBlock,
  managedText,
  withoutOurs,
} from "../../../../src/roles/client/ssh/ssh-config-text.ts";
import { userSshConfig, writeSshFile } from "../../../../src/roles/client/ssh/ssh-config-files.ts";
import { runClient } from "../../../support/client-process.ts";
import { rejection } from "../../../support/rejection.ts";
import { seeded } from "../../../support/seed.ts";

const plan = {
  program: ["/opt/fly vault/100%"],
  knownHosts: "/state/hosts",
  vaults: ["one", "two"],
};

test("each vault has a block, and all that come later share one", () => {
  const text = managedText(plan);
  expect(text.match(/^Host .*$/gm)).toEqual(["Host one.vault", "Host two.vault", "Host *.vault"]);
  expect(text).toContain('  ProxyCommand "/opt/fly vault/100%%" ssh-proxy one.vault\n');
  expect(text).toContain('  UserKnownHostsFile "/state/hosts/%h"\n');
  expect(text).not.toContain("StrictHostKeyChecking no");
});

test("what install puts in, uninstall takes out to the byte, whatever else stands there", () => {
  const include = includeLine("/home/me/ssh_config");
  const inline = inlineBlock(managedText(plan));
  fc.assert(
    fc.property(fc.string({ unit: "binary" }), fc.boolean(), (text, isInline) => {
      const original = Buffer.from(text).toString("latin1");
      const installed = (isInline ? inline : include) + original;
      expect(withoutOurs(installed, include)).toBe(original);
      // Somebody put a line of their own before it.
      expect(withoutOurs(`# mine\n${installed}`, include)).toBe(`# mine\n${original}`);
    }),
    seeded(300),
  );
});

test("a line is ours only as a whole", () => {
  const include = includeLine("/home/me/ssh_config");
  const theirs = `#${include}  ${include}Host x\n`;
  expect(withoutOurs(theirs, include)).toBe(theirs);
});

test("changed lines are those that go and those that come", () => {
  expect(changedLines("a\nb\nc\n", "a\nx\ny\nc\n")).toBe("- b\n+ x\n+ y\n");
  expect(changedLines("", "a\n")).toBe("+ a\n");
  expect(changedLines("a\n", "a\n")).toBe("");
});

describe("the commands", () => {
  let home: string;
  let user: string;
  let managed: string;

  beforeEach(() => {
    home = mkdtempSync(join(tmpdir(), "fv-ssh-config-"));
    user = join(home, ".ssh/config");
    managed = join(home, ".config/fly-vault/ssh_config");
    mkdirSync(join(home, ".config/fly-vault"), { recursive: true, mode: 0o700 });
    mkdirSync(join(home, ".ssh"), { mode: 0o700 });
    const config = '[vault.my-dev]\naddress = "127.0.0.1:1"\norg = "a"\napp = "b"\n';
    writeFileSync(join(home, ".config/fly-vault/config.toml"), config, { mode: 0o600 });
  });

  afterEach(() => rmSync(home, { recursive: true }));

  const client = (...words: readonly string[]) =>
    runClient(["ssh-config", ...words], { HOME: home, PATH: process.env["PATH"] ?? "" });

  test("without a terminal and without --yes nothing is changed", async () => {
    const { code, err } = await client("install");
    expect(code).toBe(2);
    expect(err).toContain(`+ Include "${managed}"\n`);
    expect(err).toContain("without --yes");
    expect([user, managed].map((path) => existsSync(path))).toEqual([false, false]);
  });

  test("install and uninstall leave a file as it was, with its mode, behind its link", async () => {
    const original = Buffer.from([...Buffer.from("Host x\r\n  User "), 0xff, 0xfe, 0x0a]);
    const real = join(home, "dotfiles");
    writeFileSync(real, original);
    chmodSync(real, 0o644);
    symlinkSync(real, user);
    for (const flags of [[], ["--inline"]]) {
      expect((await client("install", "--yes", ...flags)).code).toBe(0);
      const installed = readFileSync(real);
      expect(installed.subarray(-original.length).equals(original)).toBe(true);
      expect(installed.includes("my-dev.vault") || existsSync(managed)).toBe(true);
      expect((await client("install", "--yes", ...flags)).err).toBe("nothing to change\n");
    }
    expect((await client("uninstall", "--yes")).code).toBe(0);
    expect(readFileSync(user).equals(original)).toBe(true);
    expect(statSync(real).mode & 0o777).toBe(0o644);
    expect(existsSync(managed)).toBe(false);
  });

  test("a file that install made goes again, an empty one stays", async () => {
    await client("install", "--yes", "-q");
    expect(statSync(user).mode & 0o777).toBe(0o600);
    await client("uninstall", "--yes", "-q");
    expect(existsSync(user)).toBe(false);
    writeFileSync(user, "");
    await client("install", "--yes", "-q");
    await client("uninstall", "--yes", "-q");
    expect(readFileSync(user, "utf8")).toBe("");
  });

  test("show prints what the file would hold, and touches nothing", async () => {
    const { out, code } = await client("show");
    expect(code).toBe(0);
    expect(new TextDecoder().decode(out)).toContain("Host my-dev.vault\n");
    expect(existsSync(managed)).toBe(false);
  });

  test("an editor that ends lines its own way changes nothing about whose they are", async () => {
    for (const flags of [[], ["--inline"]]) {
      writeFileSync(user, "Host x\n  User me\n");
      await client("install", "--yes", "-q", ...flags);
      writeFileSync(user, readFileSync(user, "utf8").replaceAll("\n", "\r\n"));
      await client("install", "--yes", "-q", ...flags);
      const marks = /Include|BEGIN fly-vault/g;
      expect(readFileSync(user, "utf8").match(marks)).toHaveLength(1);
      await client("uninstall", "--yes", "-q");
      expect(readFileSync(user, "utf8")).toBe("Host x\r\n  User me\r\n");
    }
  });

  test("a link that leads nowhere, and a file of somebody else's, are left alone", async () => {
    symlinkSync(join(home, "not-there"), user);
    expect((await client("install", "--yes")).err).toContain("FV-CFG-013");
    expect(lstatSync(user).isSymbolicLink()).toBe(true);
    rmSync(user);
    writeFileSync(user, "Host x\n");
    chownSync(user, 65_534, 65_534);
    const { err, code } = await client("install", "--yes");
    expect([code, err]).toEqual([1, expect.stringContaining("belongs to user 65534")]);
    expect([statSync(user).uid, readFileSync(user, "utf8")]).toEqual([65_534, "Host x\n"]);
    expect((await client("show")).code).toBe(0);
  });

  test("~/.ssh is made for its owner alone", async () => {
    rmSync(join(home, ".ssh"), { recursive: true });
    await client("install", "--yes", "-q");
    expect(statSync(join(home, ".ssh")).mode & 0o777).toBe(0o700);
  });

  test("what is written between the question and its answer is not lost", async () => {
    writeFileSync(user, "Host x\n");
    const read = userSshConfig({ env: { HOME: home } });
    writeFileSync(user, "Host x\nHost mine\n");
    const error = await rejection(writeSshFile(read, "Include y\nHost x\n"));
    expect(error).toMatchObject({ code: "FV-CFG-013" });
    expect(readFileSync(user, "utf8")).toBe("Host x\nHost mine\n");
  });

  test("a Match block at the top stays in force for its own hosts alone", async () => {
    writeFileSync(user, "Match host other\n  User me\n  Port 2222\n", { mode: 0o600 });
    await client("install", "--yes", "-q");
    const asked = (host: string) =>
      Bun.spawnSync(["ssh", "-G", "-F", user, host], { env: { HOME: home } }).stdout.toString();
    expect(asked("other")).toMatch(/^user me$[^]*^port 2222$/m);
    expect(asked("my-dev.vault")).toMatch(/^user root$[^]*^port 22$/m);
    expect(asked("my-dev.vault")).toContain("ssh-proxy my-dev.vault");
    expect(asked("elsewhere")).not.toContain("ssh-proxy");
  });

  test("a folder in the place of a file is said to be one", async () => {
    mkdirSync(user);
    const { code, err } = await client("install", "--yes");
    expect(code).toBe(1);
    expect(err).toContain("FV-CFG-013");
  });

  test("open starts the editor on the host that ssh knows, and only then", async () => {
    const bin = join(home, "bin");
    mkdirSync(bin);
    writeFileSync(join(bin, "code"), '#!/bin/sh\nprintf "[%s]" "$@"\n', { mode: 0o755 });
    const env = { HOME: home, PATH: `${bin}:/usr/bin:/bin` };
    const open = (...words: readonly string[]) => runClient(["open", ...words], env);
    const printed = await open("code", "my-dev", "/a b", "--print");
    const line = "code --remote ssh-remote+my-dev.vault '/a b'\n";
    expect(new TextDecoder().decode(printed.out)).toBe(line);
    expect((await open("code", "my-dev")).err).toContain("FV-CFG-014");
    await client("install", "--yes", "-q");
    const { out, code } = await open("code", "my-dev");
    expect([new TextDecoder().decode(out), code]).toEqual([
      "[--remote][ssh-remote+my-dev.vault][/root]",
      0,
    ]);
    expect((await open("zed", "my-dev")).err).toContain("FV-SYS-003");
    expect((await open("emacs", "my-dev")).code).toBe(2);
    expect((await open("code", "my-dev", "relative")).code).toBe(2);
  });

  test("ssh-proxy ends with 255 and the client's own words when there is no way", async () => {
    const env = { HOME: home, PATH: process.env["PATH"] ?? "" };
    for (const host of ["nobody.vault", "../evil"]) {
      const { code, err, out } = await runClient(["ssh-proxy", host], env);
      expect([code, out.length]).toEqual([255, 0]);
      expect(err).toStartWith("error: ");
    }
  });
});
