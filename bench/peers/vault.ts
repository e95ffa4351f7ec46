import { existsSync, mkdirSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { dataLayout } from "../../src/roles/init/provision/data-layout.ts";
import { makeBusyboxRootfs } from "../../test/support/busybox-rootfs.ts";
import { type LocalFly, startLocalFly, type Tenant } from "../../test/support/local-fly.ts";
import { type LocalVault, makeLocalVault } from "../../test/support/local-vault.ts";
import { programEnv, programPath } from "../../test/support/program.ts";
import { system } from "../harness/sandbox.ts";
import { commandLine, processesWith } from "./process-figures.ts";

/** A machine of a local Fly that runs BusyBox and nothing else, ready for commands as the vault `dev`. */
export interface BusyboxVault extends AsyncDisposable {
  readonly fly: LocalFly;
  readonly tenant: Tenant;
  readonly vault: LocalVault;
  /** Its address on loopback, without the port. */
  readonly host: string;
  /** With a background link, as users have it. */
  readonly env: Record<string, string>;
  /** `fly-vault` with these words. */
  client(...words: readonly string[]): string[];
  /** Keeper and link of init. */
  readonly initPids: readonly number[];
  /** Until what was replaced is gone from the volume, which takes the disk of whoever is next. */
  untilTidy(): Promise<void>;
  /** Ends the background link: the next command dials. */
  stopLink(): Promise<void>;
}

export async function openBusyboxVault(): Promise<BusyboxVault> {
  const fly = await startLocalFly();
  const tenant = await fly.createTenant("bench");
  const root = join(fly.folder, "rootfs");
  mkdirSync(root);
  makeBusyboxRootfs(root);
  const archive = join(fly.folder, "rootfs.tar");
  system("tar", "-C", root, "-cf", archive, ".");
  const vault = await makeLocalVault(fly, tenant);
  await vault.configure({ rootfs: archive });
  await succeed(vault, "exec", "dev", "--", "true");
  const env = programEnv({ ...vault.env, FLY_VAULT_NO_LINK: "" });
  const stopLink = async (): Promise<void> => succeed(vault, "link", "stop");
  return {
    fly,
    tenant,
    vault,
    host: tenant.address.split(":")[0] ?? "",
    env,
    client: (...words) => [programPath("fly-vault"), ...words],
    initPids: processesWith(tenant.machineId).filter((pid) =>
      commandLine(pid).includes("fly-vault init"),
    ),
    untilTidy: async () => untilEmpty(trashOf(fly.folder)),
    stopLink,
    [Symbol.asyncDispose]: async () => {
      await stopLink();
      await fly.stop();
    },
  };
}

function trashOf(flyFolder: string): string {
  const volumes = join(flyFolder, "fly/volumes");
  const [volume = ""] = readdirSync(volumes);
  return dataLayout(join(volumes, volume)).trash;
}

async function untilEmpty(folder: string): Promise<void> {
  for (let look = 0; look < 600; look++) {
    if (!existsSync(folder) || readdirSync(folder).length === 0) return;
    await Bun.sleep(100);
  }
  throw new Error(`${folder} does not become empty`);
}

async function succeed(vault: LocalVault, ...words: readonly string[]): Promise<void> {
  const done = await vault.client(words);
  if (done.exitCode !== 0) throw new Error(`${words.join(" ")}: ${done.stderr}`);
}
