/** Starts a process in a sandbox, tells of it, and waits. */
import { isInSandbox, prepareSandbox, runInSandbox } from "../../../bench/harness/sandbox.ts";

if (!isInSandbox()) process.exit(await runInSandbox());
prepareSandbox();
const left = Bun.spawn(["setsid", "sleep", process.argv[2] ?? ""], { env: process.env });
console.log(process.env["TMPDIR"]);
await left.exited;
