import { BlockingFrames } from "../../src/roles/init/files/blocking-frames.ts";
import { serveCopy } from "../../src/roles/init/files/files-server.ts";

serveCopy(new BlockingFrames(0, 1), { home: process.argv[2] ?? "/", user: "root" });
