import * as v from "valibot";
import { TokenBucket } from "../../../system/token-bucket.ts";
import type { DescriptorReader } from "../../../system/process-pipe.ts";
import { brokerLimits } from "./broker-limits.ts";
import type { OwnChild } from "./own-child.ts";

/** What a process of ours wrote and must not have: it is broken, and is ended. */
class ChildFault extends Error {
  override readonly name = "ChildFault";
}

/** Hands on every report until there are no more. What is none throws `ChildFault`. */
export async function followReports<Report extends AnyReport>(
  reader: DescriptorReader,
  schema: v.GenericSchema<unknown, Report>,
  child: OwnChild,
  onReport: (report: Report) => void,
): Promise<void> {
  try {
    for await (const line of readReportLines(reader)) {
      const parsed = v.safeParse(schema, line);
      if (!parsed.success) throw new ChildFault("a report that is none");
      const report = parsed.output;
      if (report.kind === "listening") child.listens();
      else if (report.kind === "failed") child.complains(report.message);
      else child.reported();
      onReport(report);
    }
  } finally {
    reader.close();
  }
}

type AnyReport =
  | { readonly kind: "listening" | "metrics" }
  | { readonly kind: "failed"; readonly message: string };

/** Lines as they come, but not faster than they may; one without an end throws `ChildFault`. */
async function* readReportLines(reader: DescriptorReader): AsyncGenerator<string> {
  const decoder = new TextDecoder();
  const bucket = new TokenBucket({
    perSecond: brokerLimits.reportsPerSecondMax,
    burst: brokerLimits.reportsPerSecondMax,
    nowMs: performance.now(),
  });
  let text = "";
  for (;;) {
    const bytes = await reader.read();
    if (bytes === null) return;
    text += decoder.decode(bytes, { stream: true });
    const lines = text.split("\n");
    text = lines.pop() ?? "";
    if (text.length > brokerLimits.reportLineBytesMax) throw new ChildFault("a line too long");
    for (const line of lines) {
      yield line;
      const delayMs = bucket.reserve(performance.now());
      if (delayMs > 0) await Bun.sleep(delayMs);
    }
  }
}
