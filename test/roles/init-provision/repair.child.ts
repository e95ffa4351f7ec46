import { repairAtBoot } from "../../../src/roles/init/provision/repair.ts";

/** A second init on the same volume: prints what it found, or why it may not. */
const [dataDir = ""] = process.argv.slice(2);
try {
  console.log(JSON.stringify(await repairAtBoot(dataDir, () => undefined)));
} catch (error) {
  console.log(error instanceof Error && "code" in error ? error.code : String(error));
}
process.exit(0);
