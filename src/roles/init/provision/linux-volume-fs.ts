import {
  closeSync,
  fsyncSync,
  lstatSync,
  mkdirSync,
  openSync,
  readFileSync,
  statSync,
  writeSync,
} from "node:fs";
import { childEnv } from "../../../system/child-env.ts";
import {
  currentFolder,
  fgetxattr,
  freeSpace,
  fsetxattr,
  hasCode,
  openFlags,
  renameat2,
  renameFlags,
  syncfs,
} from "../../../system/filesystem.ts";
import { emptyFolder } from "./folder-remover.ts";
import { lockFile } from "./lock-file.ts";
import type { VolumeFs } from "./volume-fs.ts";

export const linuxVolumeFs: VolumeFs = {
  exists: (path) => lstatSync(path, { throwIfNoEntry: false }) !== undefined,
  freeBytes: (folder) => within(folder, (fd) => freeSpace(fd).bytes),
  readMark(folder) {
    try {
      return within(folder, (fd) => Buffer.from(fgetxattr(fd, markName()) ?? []).toString());
    } catch (error) {
      if (hasCode(error, "ENOENT", "ENOTDIR", "ELOOP")) return undefined;
      throw error;
    }
  },
  readFile(path, bytesMax) {
    try {
      return statSync(path).size > bytesMax ? undefined : readFileSync(path, "utf8");
    } catch (error) {
      if (hasCode(error, "ENOENT")) return undefined;
      throw error;
    }
  },

  makeFolder: (path, mode) => void mkdirSync(path, { recursive: true, mode }),
  rename(from, to, onto) {
    const flags = { free: renameFlags.noReplace, replace: 0, exchange: renameFlags.exchange }[onto];
    renameat2({ folder: currentFolder, name: from }, { folder: currentFolder, name: to }, flags);
  },
  writeMark: (folder, value) =>
    within(folder, (fd) => fsetxattr(fd, markName(), Buffer.from(value))),
  writeFile(path, text) {
    const fd = openSync(path, "w", 0o600);
    try {
      const bytes = Buffer.from(text);
      let at = 0;
      while (at < bytes.length) at += writeSync(fd, bytes, at);
      fsyncSync(fd);
    } finally {
      closeSync(fd);
    }
  },
  copyTree,
  emptyFolder,

  syncFolder: (path) => within(path, fsyncSync),
  syncAll: (folder) => within(folder, syncfs),
  lock: lockFile,
};

/** Hidden from a guest without CAP_SYS_ADMIN. Only root can set it, so a rootless init uses the other. */
function markName(): string {
  return process.geteuid?.() === 0 ? "trusted.fv.gen" : "user.fv.gen";
}

function within<Value>(folder: string, use: (fd: number) => Value): Value {
  const fd = openSync(folder, openFlags.directory | openFlags.noFollow);
  try {
    return use(fd);
  } finally {
    closeSync(fd);
  }
}

async function copyTree(from: string, to: string): Promise<void> {
  const copying = Bun.spawn(["cp", "-a", "--", from, to], {
    env: childEnv({ PATH: process.env["PATH"] }),
    stdio: ["ignore", "ignore", "pipe"],
  });
  const words = await new Response(copying.stderr).text();
  if ((await copying.exited) === 0) return;
  const full = words.includes("No space left") || words.includes("quota exceeded");
  const message = `Copying ${from} failed: ${words.trim().slice(0, 300)}`;
  throw Object.assign(new Error(message), full ? { code: "ENOSPC" } : {});
}
