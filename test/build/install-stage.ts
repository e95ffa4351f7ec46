import { afterAll, afterEach, beforeAll, beforeEach, expect, setDefaultTimeout } from "bun:test";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { childOutcome } from "../../build/child-outcome.ts";
import { makeKey, ReleaseHost } from "../support/release-host.ts";

export const script = join(import.meta.dir, "../../build/release/install.sh");

/** What says the version as the program does. */
export const program = (of: string) => `#!/bin/sh\necho "fly-vault ${of}"\n`;
export const roles = ["fly-local", "fly-vault", "fly-vault-admin", "vault-proxy"];

interface InstallOptions {
  readonly shell?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  readonly file?: string;
}

/** A host of releases for the tests of a file, and for each of them folders to install into. */
export class InstallStage {
  host!: ReleaseHost;
  prefix = "";
  scratch = "";

  constructor() {
    // An installation starts some thirty processes.
    setDefaultTimeout(120_000);
    beforeAll(async () => {
      this.host = await ReleaseHost.open();
      await makeKey(join(this.host.folder, "stranger"));
    });
    beforeEach(async () => {
      this.host.files.clear();
      this.host.newest = undefined;
      this.prefix = await mkdtemp(join(tmpdir(), "fv-prefix-"));
      this.scratch = await mkdtemp(join(tmpdir(), "fv-scratch-"));
    });
    afterEach(async () => {
      const folders = [this.prefix, this.scratch];
      await Promise.all(folders.map(async (path) => rm(path, { recursive: true })));
    });
    afterAll(async () => this.host.close());
  }

  async install(
    words: readonly string[],
    { shell = ["dash"], env = {}, file = script }: InstallOptions = {},
  ) {
    const outcome = await childOutcome([...shell, file, "--prefix", this.prefix, ...words], {
      cwd: "/",
      env: {
        PATH: process.env["PATH"] ?? "",
        HOME: this.prefix,
        TMPDIR: this.scratch,
        ...this.host.env,
        ...env,
      },
    });
    expect(await readdir(this.scratch)).toEqual([]);
    return outcome;
  }

  async installed(): Promise<string[]> {
    const names: string[] = await readdir(join(this.prefix, "bin")).catch(() => []);
    return names.toSorted();
  }
}
