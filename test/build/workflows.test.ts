import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { mkdir, mkdtempDisposable, readdir, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import * as v from "valibot";

const root = fileURLToPath(new URL("../..", import.meta.url));
const folder = ".github/workflows";
const names = [...new Bun.Glob("*.yml").scanSync(join(root, folder))].toSorted();

const step = v.strictObject({
  name: v.optional(v.string()),
  uses: v.optional(v.string()),
  run: v.optional(v.string()),
  with: v.optional(v.record(v.string(), v.union([v.string(), v.number(), v.boolean()]))),
  env: v.optional(v.record(v.string(), v.string())),
});
const access = v.picklist(["read", "write", "none"]);
const permissions = v.record(v.picklist(["contents", "id-token", "attestations"]), access);
const job = v.strictObject({
  needs: v.optional(v.string()),
  uses: v.optional(v.string()),
  "runs-on": v.optional(v.string()),
  container: v.optional(
    v.union([v.string(), v.strictObject({ image: v.string(), options: v.string() })]),
  ),
  strategy: v.optional(
    v.strictObject({
      "fail-fast": v.boolean(),
      matrix: v.record(v.string(), v.array(v.string())),
    }),
  ),
  environment: v.optional(v.string()),
  permissions: v.optional(permissions),
  "timeout-minutes": v.optional(v.number()),
  steps: v.optional(v.array(step)),
});
const workflow = v.strictObject({
  name: v.string(),
  on: v.record(
    v.picklist(["push", "pull_request", "workflow_call", "workflow_dispatch", "schedule"]),
    v.unknown(),
  ),
  permissions,
  concurrency: v.optional(v.strictObject({ group: v.string(), "cancel-in-progress": v.boolean() })),
  jobs: v.record(v.string(), job),
});

const read = (name: string) =>
  v.parse(workflow, Bun.YAML.parse(readFileSync(join(root, folder, name), "utf8")));

test("there are the three", () => {
  expect(names).toEqual(["ci.yml", "nightly.yml", "release.yml"]);
});

test.each(names)("%s has only keys that a workflow has, and may by default only read", (name) => {
  const { jobs, permissions: granted } = read(name);
  expect(granted).toEqual({ contents: "read" });
  for (const each of Object.values(jobs)) {
    if (each.uses === undefined) expect(each).toHaveProperty("timeout-minutes");
    if (each.needs !== undefined) expect(Object.keys(jobs)).toContain(each.needs);
    for (const { uses, run } of each.steps ?? []) {
      expect([uses, run].filter((word) => word !== undefined)).toHaveLength(1);
      // A tag may lead to other code tomorrow.
      if (uses !== undefined) expect(uses).toMatch(/@[0-9a-f]{40}$/);
    }
  }
});

test("each runs only targets that the Makefile has", () => {
  const makefile = readFileSync(join(root, "Makefile"), "utf8");
  const targets = new Set(
    [...makefile.matchAll(/^([a-z-]+):.*## /gm)].map(([, target]) => target ?? ""),
  );
  const jobs = names.flatMap((name) => Object.values(read(name).jobs));
  const scripts = jobs.flatMap(({ steps = [] }) => steps.flatMap(({ run = [] }) => run));
  const used = [
    ...jobs.flatMap(({ strategy }) => strategy?.matrix["target"] ?? []),
    ...scripts.flatMap((script) => script.match(/(?<=^ *make )[a-z-]+.*/gm) ?? []),
  ].map((words) => words.split(" ")[0] ?? "");
  expect(used.length).toBeGreaterThan(5);
  expect(used.filter((target) => !targets.has(target))).toEqual([]);
});

test("their scripts are clean for shellcheck", () => {
  for (const name of names)
    for (const { steps = [] } of Object.values(read(name).jobs))
      for (const { run } of steps) {
        if (run === undefined) continue;
        const script = run.replaceAll(/\$\{\{.*?\}\}/g, "expression");
        const { stdout } = Bun.spawnSync(["shellcheck", "--shell=bash", "-"], {
          stdin: Buffer.from(script),
        });
        expect(stdout.toString()).toBe("");
      }
});

test("what another workflow calls is there, and lets itself be called", () => {
  const called = names.flatMap((name) =>
    Object.values(read(name).jobs).flatMap(({ uses }) => uses ?? []),
  );
  expect(called.length).toBeGreaterThan(0);
  for (const path of called)
    expect(read(path.slice(path.lastIndexOf("/") + 1)).on).toHaveProperty("workflow_call");
});

describe("the release's key", () => {
  const { environment, steps = [] } = read("release.yml").jobs["release"] ?? {};
  const signing = steps.findIndex(({ env }) => env?.["RELEASE_KEY"] !== undefined);

  test("is in one step alone, after all that npm gives, and no token lies about beside it", () => {
    expect(environment).toBe("release");
    const setup = steps.findIndex(({ run }) => run === "make setup");
    expect(setup).toBeGreaterThan(-1);
    expect(signing).toBeGreaterThan(setup);
    expect(steps.filter((each) => JSON.stringify(each).includes("secrets.RELEASE_KEY"))).toEqual(
      steps.slice(signing, signing + 1),
    );
    const checkout = steps.find(({ uses }) => uses?.startsWith("actions/checkout@"));
    expect(checkout?.with).toEqual({ "persist-credentials": false });
    expect(steps[signing]?.env).toHaveProperty("FLY_VAULT_RELEASE_NEXT_KEY");
  });

  test.each([0, 1])(
    "is in a file while make runs, and gone after it (make ends with %d)",
    async (ends) => {
      const { stdout, code } = await sign("the key", ends);
      expect(stdout).toBe("600 the key, and RELEASE_KEY is not there\n");
      expect(code).toBe(ends);
    },
  );

  test("must be there", async () => {
    const { stdout, code } = await sign("", 0);
    expect(stdout).toContain("no secret RELEASE_KEY");
    expect(code).toBe(1);
  });

  /** The step as it stands, with a `make` that looks for the key. */
  async function sign(key: string, ends: number) {
    await using place = await mkdtempDisposable(join(tmpdir(), "fv-sign-step-"));
    const scratch = join(place.path, "tmp");
    await mkdir(scratch);
    const look =
      'f=$FLY_VAULT_RELEASE_KEY_FILE; echo "$(stat -c %a "$f") $(cat "$f"), and RELEASE_KEY is ${RELEASE_KEY-not there}"';
    await writeFile(join(place.path, "make"), `#!/bin/sh\n${look}\nexit ${ends}\n`, {
      mode: 0o755,
    });
    const child = Bun.spawnSync(["bash", "-e", "-o", "pipefail", "-c", steps[signing]?.run ?? ""], {
      env: { PATH: `${place.path}:/usr/bin:/bin`, TMPDIR: scratch, RELEASE_KEY: key },
    });
    expect(await readdir(scratch)).toEqual([]);
    return { stdout: child.stdout.toString(), code: child.exitCode };
  }
});
