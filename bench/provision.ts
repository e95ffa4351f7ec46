import { mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { benchmark } from "./harness/benchmark.ts";
import { interleave } from "./harness/rounds.ts";
import { commandMs } from "./peers/command.ts";
import { useJournaledDisk } from "./peers/journaled-disk.ts";
import { openSsh } from "./peers/openssh.ts";
import { RootfsTree } from "./peers/rootfs-tree.ts";
import { openBusyboxVault } from "./peers/vault.ts";

/**
 * A root filesystem of 500 MB in 16 000 entries, from the archive on the laptop to the end of the command.
 * Ours checks every name, hashes all, brings it to disk and boots it; tar unpacks.
 */
await benchmark({
  name: "provision",
  rounds: 3,
  measure: async ({ rounds, part }) => {
    useJournaledDisk();
    await using vault = await openBusyboxVault();
    await using ssh = await openSsh();
    const size = { entries: Math.ceil(16_000 * part), bytes: Math.ceil(500e6 * part) };
    const tree = new RootfsTree(join(vault.fly.folder, "tree"), size);
    const archive = tree.pack(join(vault.fly.folder, "rootfs.tar.gz"));
    const unpacked = join(vault.fly.folder, "unpacked");
    const throughSsh = (remote: string) =>
      ssh &&
      (async () => {
        mkdirSync(unpacked);
        const argv = [...ssh.ssh(), remote];
        const ms = await commandMs(argv, ssh.env, Bun.file(archive));
        rmSync(unpacked, { recursive: true });
        return { seconds: ms / 1000 };
      });
    const samples = await interleave(rounds, {
      ours: async () => {
        // As onto a machine that has nothing of it yet.
        const argv = vault.client("provision", "dev", "--from", archive, "--whole");
        const ms = await commandMs(argv, vault.env);
        await vault.untilTidy();
        return { seconds: ms / 1000 };
      },
      "ssh tar -xz": throughSsh(`tar -xz -C ${unpacked}`),
      "the same, sync": throughSsh(`tar -xz -C ${unpacked} && sync -f ${unpacked}`),
    });
    const shared = {
      metric: "seconds",
      unit: "s",
      better: "lower",
      goal: { of: "ratio", limit: 1 },
    } as const;
    return ["ssh tar -xz", "the same, sync"].map((peer) =>
      samples.compare({
        ...shared,
        what: `provision ${(size.bytes / 1e6).toFixed(0)} MB, ${size.entries} entries`,
        peer,
      }),
    );
  },
});
