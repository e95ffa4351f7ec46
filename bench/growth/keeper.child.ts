import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { dataLayout } from "../../src/roles/init/provision/data-layout.ts";
import { linuxVolumeFs } from "../../src/roles/init/provision/linux-volume-fs.ts";
import { unlockFile } from "../../src/roles/init/provision/lock-file.ts";
import { stageRootfs } from "../../src/roles/init/provision/provision.ts";
import { emptyTrash } from "../../src/roles/init/provision/trash.ts";

/** Init's part of one provisioning in a process of its own, so that its memory is its own too. Says what it measured. */
export interface Measured {
  readonly unpackMs: number;
  readonly totalMs: number;
  /** The most memory of the unpacking child, and of this process. */
  readonly childMib: number;
  readonly initMib: number;
}

const unpack = fileURLToPath(
  new URL("../../test/roles/init-provision/unpack.child.ts", import.meta.url),
);

if (import.meta.main) {
  const [dataDir = "", archive = ""] = process.argv.slice(2);
  console.log(JSON.stringify(await measure(dataDir, archive)));
}

async function measure(dataDir: string, archive: string): Promise<Measured> {
  let unpackMs = 0;
  let childMib = 0;
  const watch = setInterval(() => {
    childMib = Math.max(childMib, peakMib(childPid()));
  }, 100);
  const startMs = performance.now();
  const staged = await stageRootfs({
    dataDir,
    archive: readChunks(archive),
    onProgress: ({ phase }) => {
      if (phase === "sync") unpackMs = performance.now() - startMs;
    },
    signal: new AbortController().signal,
    log: () => undefined,
    unpackCommand: [process.execPath, unpack],
  });
  const totalMs = performance.now() - startMs;
  clearInterval(watch);
  const initMib = peakMib("self");
  await staged.discard();
  const layout = dataLayout(dataDir);
  await emptyTrash({ layout, fs: linuxVolumeFs, log: () => undefined });
  unlockFile(layout.lock);
  return { unpackMs, totalMs, childMib, initMib };
}

async function* readChunks(file: string): AsyncGenerator<Uint8Array> {
  for await (const chunk of Bun.file(file).stream()) yield chunk;
}

function childPid(): string | undefined {
  return readdirSync("/proc").find(
    (pid) => /^\d+$/.test(pid) && read(pid, "cmdline").includes(`${unpack}\0extract`),
  );
}

function peakMib(pid: string | undefined): number {
  if (pid === undefined) return 0;
  return Number(/VmHWM:\s+(\d+)/.exec(read(pid, "status"))?.[1] ?? 0) / 1024;
}

function read(pid: string, name: string): string {
  try {
    return readFileSync(`/proc/${pid}/${name}`, "latin1");
  } catch {
    // It ended while we looked.
    return "";
  }
}
