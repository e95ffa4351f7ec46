import { ptr } from "bun:ffi";
import { check, openLibc } from "./libc.ts";

/** Lets this process have that many descriptors, or as many as it may. Gives how many these are. */
export function raiseDescriptorLimit(wanted: number): number {
  const limit = new BigUint64Array(new ArrayBuffer(16));
  check("getrlimit", () => libc().getrlimit(descriptors, ptr(limit)));
  const [soft = 0n, hard = 0n] = limit;
  if (soft >= wanted) return Number(soft);
  limit[0] = BigInt(wanted);
  limit[1] = hard > wanted ? hard : BigInt(wanted);
  if (libc().setrlimit(descriptors, ptr(limit)) === 0) return wanted;
  // The hard limit is root's to raise.
  limit[0] = hard;
  limit[1] = hard;
  check("setrlimit", () => libc().setrlimit(descriptors, ptr(limit)));
  return Number(hard);
}

const descriptors = 7;

let opened: ReturnType<typeof openLimitCalls> | undefined;

function libc(): ReturnType<typeof openLimitCalls> {
  opened ??= openLimitCalls();
  return opened;
}

function openLimitCalls() {
  return openLibc({
    getrlimit: { args: ["i32", "ptr"], returns: "i32" },
    setrlimit: { args: ["i32", "ptr"], returns: "i32" },
  });
}
