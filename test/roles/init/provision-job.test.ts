import { expect, test } from "bun:test";
import { RemoteError } from "../../../src/protocol/errors.ts";
import { ProvisionJob, type ProvisionWork } from "../../../src/roles/init/provision-job.ts";

const result = { entries: 1, written_bytes: 2, skipped: [] };
const request = { type: "provision", id: "a", source: { kind: "upload" } } as const;

/** A job whose work goes on when it is told to, and how it was aborted by then. */
function heldJob(work: ProvisionWork): { job: ProvisionJob; goOn: () => void } {
  const held = Promise.withResolvers<void>();
  const job = new ProvisionJob(request, async (course) => {
    await held.promise;
    return work(course);
  });
  return { job, goOn: held.resolve };
}

const because = new RemoteError("cancelled", "The client cancelled it");

test("a cancel that comes in the moment of the decision does not claim that nothing changed", async () => {
  const { job, goOn } = heldJob(async ({ onDecided }) => {
    onDecided();
    return result;
  });
  const cancelling = job.cancel(because);
  goOn();
  expect(await cancelling).toBe(false);
  expect(await job.outcome).toEqual({ kind: "done", result });
});

test("a cancel of work that heeds it is heard as the reason", async () => {
  const { job, goOn } = heldJob(async ({ signal }) => {
    signal.throwIfAborted();
    return result;
  });
  const cancelling = job.cancel(because);
  goOn();
  expect(await cancelling).toBe(true);
  expect(await job.outcome).toEqual({ kind: "failed", error: because });
});
