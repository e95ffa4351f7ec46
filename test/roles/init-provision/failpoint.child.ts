import { failpoint } from "../../../src/roles/init/provision/failpoint.ts";

/** Comes by the same place three times, and by another. */
for (const round of [1, 2, 3]) {
  failpoint("keep");
  failpoint("switch");
  console.log(round);
}
