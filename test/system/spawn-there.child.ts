import { startThere } from "../../src/system/spawn-there.ts";
import { startAsFirst } from "../../src/system/process-namespace.ts";
import { PreparedSpawn } from "../../src/system/process-spawn.ts";
import { ChildReaper } from "../../src/system/reaper.ts";
import { openSync } from "node:fs";

/**
 * Starts many processes in a PID namespace that is there or a new one, as root or as another user, and
 * does as little as can be beside: what becomes hot first must be on the way there. Prints who is who.
 */
const [kind, who] = process.argv.slice(2);
const init = startAsFirst(prepared("/bin/sleep", "100"));
const theirs = openSync(`/proc/${init}/ns/pid`, "r");
const place = {
  pidNamespace: kind === "theirs" ? theirs : undefined,
  home: openSync("/proc/self/ns/pid", "r"),
  user: who === "nobody" ? { uid: 65_534, gid: 65_533, groups: [65_531, 65_532] } : undefined,
};
const quick = prepared("/bin/true");
for (let turn = 0; turn < 200; turn++) startThere(quick, place);
const asking = prepared("/bin/sh", "-c", "echo $(id -u) $(id -g) $(id -G)");
const end = await new ChildReaper().ended(startThere(asking, place));
console.log(JSON.stringify(end), process.geteuid?.(), process.getegid?.());
process.kill(init, "SIGKILL");
process.exit(0);

function prepared(path: string, ...words: readonly string[]): PreparedSpawn {
  return new PreparedSpawn({ path, argv: [path, ...words], env: {}, stdio: [0, 1, 2] });
}
