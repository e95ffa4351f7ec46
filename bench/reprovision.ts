import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { benchmark } from "./harness/benchmark.ts";
import { interleave } from "./harness/rounds.ts";
import { commandMs } from "./peers/command.ts";
import { useJournaledDisk } from "./peers/journaled-disk.ts";
import { openSsh } from "./peers/openssh.ts";
import { RootfsTree } from "./peers/rootfs-tree.ts";
import { loopbackMb } from "./peers/traffic.ts";
import { openBusyboxVault } from "./peers/vault.ts";

const changedPart = 0.02;

/** The same root filesystem with 2 % of its files changed, over the one that is there. */
await benchmark({
  name: "reprovision",
  rounds: 3,
  measure: async ({ rounds, part }) => {
    useJournaledDisk();
    await using vault = await openBusyboxVault();
    await using ssh = await openSsh();
    const size = { entries: Math.ceil(16_000 * part), bytes: Math.ceil(500e6 * part) };
    const tree = new RootfsTree(join(vault.fly.folder, "tree"), size);
    const archive = join(vault.fly.folder, "rootfs.tar.gz");
    const copy = join(vault.fly.folder, "copy");
    mkdirSync(copy);
    const provision = async () => {
      const argv = vault.client("provision", "dev", "--from", tree.pack(archive));
      const startMb = loopbackMb();
      const seconds = (await commandMs(argv, vault.env)) / 1000;
      const mb = loopbackMb() - startMb;
      await vault.untilTidy();
      return { seconds, mb };
    };
    const rsync =
      ssh &&
      (async () => {
        const from = [`${tree.folder}/`, `127.0.0.1:${copy}`];
        const startMb = loopbackMb();
        const ms = await commandMs(["rsync", "-a", "-e", ssh.shell, ...from], ssh.env);
        return { seconds: ms / 1000, mb: loopbackMb() - startMb };
      });
    await provision();
    await rsync?.();
    // Another version for each turn: both take one step in each round.
    const next = <Result>(turn: () => Promise<Result>) => {
      return async () => {
        tree.change(changedPart);
        return turn();
      };
    };
    const samples = await interleave(rounds, {
      ours: next(provision),
      "rsync -a": rsync && next(rsync),
    });
    const shared = {
      peer: "rsync -a",
      better: "lower",
      goal: { of: "ratio", limit: 1.5 },
    } as const;
    const what = "reprovision, 2 % changed";
    return [
      samples.compare({ ...shared, what, metric: "seconds", unit: "s" }),
      samples.compare({ ...shared, what: `${what}: sent`, metric: "mb", unit: "MB" }),
    ];
  },
});
