import { expect, test } from "bun:test";
import { spawnClient } from "../../../support/client-process.ts";
import { LinkStage } from "../../../support/link-stage.ts";

test("doctor tells of the background link, and for how long it has been there", async () => {
  const stage = await LinkStage.open();
  try {
    await stage.exec(["--", "true"]);
    const doctor = spawnClient(["doctor", "dev"], stage.env);
    const [told] = await Promise.all([doctor.stdout.text(), doctor.exited]);
    expect(told).toMatch(/^ {2}process \d+ \([\d.]+ m?s old\), up, 0 commands, version/m);
  } finally {
    await stage.close();
  }
});
