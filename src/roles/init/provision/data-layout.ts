import { join } from "node:path";

/** Where everything lies on the volume. Names only; who may change what is in provision.ts and repair.ts. */
export function dataLayout(dataDir: string) {
  const own = join(dataDir, ".fly-vault");
  return {
    dataDir,
    /** The live tree. */
    rootfs: join(dataDir, "rootfs"),
    /** Staging; between the exchange and the next step, the tree that was live. */
    next: join(dataDir, "rootfs.next"),
    previous: join(dataDir, "rootfs.previous"),
    persist: join(dataDir, "persist"),
    /** The first seed of `persist`, not yet in its place. */
    persistNext: join(dataDir, "persist.next"),
    own,
    state: join(own, "state.json"),
    lock: join(own, "lock"),
    trash: join(own, "trash"),
    sshHostKey: join(own, "ssh_host_ed25519_key"),
  } as const;
}

export type DataLayout = ReturnType<typeof dataLayout>;

/** The user's own folders: seeded once, never touched again by any root filesystem. */
export const persistedFolders = ["root", "home"] as const;
