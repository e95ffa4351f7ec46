import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { makeBusyboxRootfs } from "../test/support/busybox-rootfs.ts";
import type { LocalFly, Tenant } from "../test/support/local-fly.ts";
import { type LocalVault, makeLocalVault } from "../test/support/local-vault.ts";
import { programEnv } from "../test/support/program.ts";

/** A machine that runs BusyBox and nothing else, provisioned and ready for commands as the vault `dev`. */
export async function openBusyboxVault(
  fly: LocalFly,
): Promise<{ readonly tenant: Tenant; readonly vault: LocalVault }> {
  const tenant = await fly.createTenant("bench");
  const root = join(fly.folder, "rootfs");
  mkdirSync(root);
  makeBusyboxRootfs(root);
  const archive = join(fly.folder, "rootfs.tar");
  const packed = Bun.spawnSync(["tar", "-C", root, "-cf", archive, "."], { env: programEnv() });
  if (!packed.success) throw new Error(packed.stderr.toString());
  const vault = await makeLocalVault(fly, tenant);
  await vault.configure({ rootfs: archive });
  const ready = await vault.client(["exec", "dev", "--", "true"]);
  if (ready.exitCode !== 0) throw new Error(ready.stderr);
  return { tenant, vault };
}
