import { processContext } from "../../../src/cli/process-context.ts";
import { main } from "../../../src/roles/init/provision/unpack.ts";

/** The unpacking child by itself, without the rest of init. */
process.exit(await main(process.argv.slice(2), processContext()));
