/** Before the step of provisioning that is named like it; docs/provisioning.md has the list. */
export type Failpoint =
  | "stage"
  | "unpack"
  | "sync"
  | "digest"
  | "seal"
  | "stop"
  | "seed"
  | "switch"
  | "keep"
  | "record"
  | "boot"
  | "prove"
  | "repair";

let passed = 0;

/**
 * Where a test can have this process die as by kill -9: FV_FAILPOINT=switch, or switch:2 for the second
 * time it gets there. For runs from source only: `build/no-failpoints.ts` makes it an empty function.
 */
export function failpoint(name: Failpoint): void {
  const [wanted, times = "1"] = (process.env["FV_FAILPOINT"] ?? "").split(":");
  if (name !== wanted) return;
  passed++;
  if (passed === Number(times)) process.kill(process.pid, "SIGKILL");
}
