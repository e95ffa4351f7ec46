import { afterAll, beforeAll, expect, test } from "bun:test";
import { cp, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { main } from "../../src/roles/client/main.ts";
import { DebianMachine } from "../roles/init/debian-machine.ts";
import { memoryContext } from "../support/memory-context.ts";

/** By `fly-vault build` and buildah, on a Debian that is here already: without a network nothing is installed. */

const root = join(import.meta.dir, "../..");
let folder: string;
let env: Record<string, string>;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "fv-example-"));
  const place = (name: string): string => JSON.stringify(join(folder, name));
  const storage = `[storage]\ndriver = "vfs"\ngraphroot = ${place("graph")}\nrunroot = ${place("run")}\n`;
  await writeFile(join(folder, "storage.conf"), storage);
  env = {
    PATH: process.env["PATH"] ?? "",
    HOME: folder,
    CONTAINERS_STORAGE_CONF: join(folder, "storage.conf"),
    BUILDAH_ISOLATION: "chroot",
  };
});
afterAll(async () => rm(folder, { recursive: true, force: true }));

async function build(name: string, base: string): Promise<string> {
  const context = join(folder, name);
  await cp(join(root, "examples", name), context, { recursive: true });
  await cp(join(root, `.cache/${base}.tar.zst`), join(context, "base.tar.zst"));
  const recipe = await readFile(join(context, "Containerfile"), "utf8");
  // What is already there takes the place of what a registry and a mirror would give.
  const local = recipe
    .replace(/^ARG BASE=.*\nFROM .*$/m, "FROM scratch\nADD base.tar.zst /")
    .replace(/^ARG PACKAGES=.*$/m, 'ARG PACKAGES=""');
  expect(local).not.toContain("docker.io");
  await writeFile(join(context, "Containerfile"), local);
  const output = join(folder, `${name}.tar`);
  const given = memoryContext({ env });
  const code = await main(["build", "-q", context, "--engine", "buildah", "-o", output], given);
  expect({ code, err: given.err() }).toEqual({ code: 0, err: "" });
  return output;
}

function list(archive: string): Set<string> {
  const { stdout } = Bun.spawnSync(["tar", "-tf", archive], { env: { PATH: "/usr/bin:/bin" } });
  return new Set(stdout.toString().split("\n"));
}

test.each(["vmimage", "vmimage-systemd"])(
  "examples/%s has instructions that there are, and copies files that are there",
  async (name) => {
    const place = join(root, "examples", name);
    const text = await readFile(join(place, "Containerfile"), "utf8");
    const lines = text
      .replaceAll(/^#.*\n/gm, "")
      .replaceAll(/\\\n/g, "")
      .split("\n");
    const instructions = lines.filter((line) => line !== "").map((line) => line.split(" "));
    const known = new Set(["ARG", "FROM", "RUN", "COPY"]);
    expect(instructions.map(([word = ""]) => word).filter((word) => !known.has(word))).toEqual([]);
    expect(instructions.slice(0, 2).map(([word]) => word)).toEqual(["ARG", "FROM"]);
    for (const [word, source = ""] of instructions)
      if (word === "COPY") expect(await Bun.file(join(place, source)).exists()).toBe(true);
  },
);

test("examples/vmimage makes a root filesystem with a user in it", async () => {
  const archive = await build("vmimage", "debian-bookworm");
  const names = list(archive);
  expect(names.has("./home/dev/.bashrc")).toBe(true);
  const argv = ["tar", "-xOf", archive, "./etc/passwd"];
  expect(Bun.spawnSync(argv, { env: { PATH: "/usr/bin:/bin" } }).stdout.toString()).toContain(
    "\ndev:x:1000:1000::/home/dev:/bin/bash\n",
  );
}, 180_000);

// A minute: this one is part of `make soak`.
test.if(process.env["FV_SOAK"] === "1")(
  "examples/vmimage-systemd makes one that boots systemd with its service",
  async () => {
    const archive = await build("vmimage-systemd", "debian-systemd");
    const names = list(archive);
    expect(names.has("./etc/systemd/system/multi-user.target.wants/greeter.service")).toBe(true);
    expect(names.has("./etc/systemd/system/systemd-networkd.service")).toBe(true);
    const debian = await DebianMachine.boot(await readFile(archive), { PATH: env["PATH"] ?? "" });
    try {
      const { stdout } = await debian.machine.shell(
        "while [ ! -S /run/systemd/private ]; do sleep 0.05; done; systemctl is-system-running --wait; journalctl -u greeter -o cat",
      );
      expect(stdout).toStartWith("running\n");
      expect(stdout).toContain("hello from systemd\n");
    } finally {
      await debian[Symbol.asyncDispose]();
    }
  },
  180_000,
);
