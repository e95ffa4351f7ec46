import { expect, test } from "bun:test";
import * as v from "valibot";
import { relayReportSchema } from "../../../src/roles/proxy/relay-plan.ts";

// The web process takes nothing else for a door, and would end by what a broken relay says.
test.each([0, -1, 65_536, 4.5, null])("a relay cannot have its door at port %p", (doorPort) => {
  const report = { kind: "listening", addresses: [], doorPort };
  expect(v.is(relayReportSchema, { ...report, doorPort: 4000 })).toBe(true);
  expect(v.is(relayReportSchema, report)).toBe(false);
});
