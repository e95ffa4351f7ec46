import { readdir } from "node:fs/promises";
import { join } from "node:path";

/** Processes that name the demo's folder, and mounts below it. */
export async function leftovers(folder: string): Promise<string[]> {
  const found: string[] = [];
  for (const pid of await readdir("/proc")) {
    if (!/^\d+$/.test(pid)) continue;
    const words = await Bun.file(`/proc/${pid}/environ`)
      .text()
      .catch(() => "");
    if (words.includes(folder)) found.push(`process ${pid}`);
  }
  const mounts = await Bun.file("/proc/self/mounts").text();
  for (const line of mounts.split("\n"))
    if (line.includes(folder)) found.push(`mount ${line.split(" ")[1]}`);
  return found;
}

/** What the machines wrote, for a demo that failed. */
export async function machineLogs(folder: string): Promise<string> {
  let text = "";
  for await (const path of new Bun.Glob("fly/machines/*/log").scan(folder))
    text += await Bun.file(join(folder, path)).text();
  return text;
}
