import { workloadGraceMs } from "../../fly/stop-grace.ts";
import { childEnv } from "../../system/child-env.ts";
import { guestOf, mountsOf, stopPlan, stringMap, textOf } from "./machine-config.ts";
import type { MachineRecord } from "./record.ts";

export interface MachineFolders {
  /** The machine's own folder: socket, log, run directory, root disk. */
  readonly machine: string;
  /** Folder of a volume by its id. */
  readonly volume: (volumeId: string) => string;
}

export function apiSocketPath(machineDir: string): string {
  return `${machineDir}/api`;
}

export function runDirPath(machineDir: string): string {
  return `${machineDir}/run`;
}

/** Wiped at every start, as the root disk of a Fly Machine is. */
export function rootDiskPath(machineDir: string): string {
  return `${machineDir}/disk`;
}

/**
 * What a process in a Fly Machine finds in its environment, and variables that say what is different
 * here: where things are that on Fly have fixed places, and that the network is not the machine's own.
 * None of ours is inherited: it would hold the API token.
 */
export function machineEnvironment(
  machine: MachineRecord,
  folders: MachineFolders,
): Record<string, string> {
  const configured = stringMap(machine.config["env"]);
  const metadata = stringMap(machine.config["metadata"]);
  const grace = { VAULT_STOP_GRACE: `${workloadGraceMs(stopPlan(machine.config).graceMs)}ms` };
  const base = { PATH: defaultPath, HOME: "/root", ...grace, ...configured };
  return childEnv(base, {
    FLY_APP_NAME: machine.app,
    FLY_MACHINE_ID: machine.id,
    FLY_ALLOC_ID: machine.id,
    FLY_REGION: machine.region,
    PRIMARY_REGION: machine.region,
    FLY_PUBLIC_IP: machine.address,
    FLY_PRIVATE_IP: machine.address,
    FLY_IMAGE_REF: textOf(machine.config["image"]) ?? "",
    FLY_MACHINE_VERSION: machine.version,
    FLY_PROCESS_GROUP: metadata["fly_process_group"] ?? "app",
    FLY_VM_MEMORY_MB: String(guestOf(machine.config).memoryMb),
    VAULT_LISTEN: `${machine.address}:${portOf(configured["VAULT_LISTEN"])}`,
    VAULT_API_SOCKET: apiSocketPath(folders.machine),
    VAULT_RUN_DIR: runDirPath(folders.machine),
    // Its network is that of this computer, whatever a template made for Fly asks for.
    VAULT_FIREWALL: "off",
    VAULT_DATA_DIR: dataDir(machine, folders, configured["VAULT_DATA_DIR"] ?? "/data"),
  });
}

const defaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/** Where the volume that the machine would have mounted at `path` really lies. */
function dataDir(machine: MachineRecord, folders: MachineFolders, path: string): string {
  const mount = mountsOf(machine.config).find((candidate) => candidate.path === path);
  return mount?.volume === undefined ? rootDiskPath(folders.machine) : folders.volume(mount.volume);
}

function portOf(listen: string | undefined): string {
  return /:(\d{1,5})$/u.exec(listen ?? "")?.[1] ?? "8443";
}
