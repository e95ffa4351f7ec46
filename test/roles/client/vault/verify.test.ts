import { afterAll, beforeAll, beforeEach, expect, test } from "bun:test";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { renderVerified } from "../../../../src/roles/client/vault/verified.ts";
import { PtyClient } from "../../../support/pty-client.ts";
import { secretTraces } from "../../../support/secret-traces.ts";
import { TestVault, testToken } from "../../../support/test-vault.ts";
import { config, say, writeConfig } from "./vault-stage.ts";

let vault: TestVault;
const [one, two] = ["148e21ea7e46e8", "2222222222aaaa"];
const [imageOne, imageTwo] = [`sha256:${"9c1f".repeat(16)}`, `sha256:${"ab".repeat(32)}`];

beforeAll(async () => {
  vault = await TestVault.open();
});
afterAll(async () => {
  await vault.close();
});
beforeEach(async () => {
  vault.machineId = one;
  vault.imageDigest = imageOne;
  vault.initVersion = "0.1.0";
  vault.forgetConnections();
  await rm(join(vault.folder, "state"), { recursive: true, force: true });
});

/** The vault "dev" without machine_id, with this policy. */
async function policy(attest?: string): Promise<void> {
  await vault.configure({ machine_id: undefined });
  if (attest !== undefined) await writeConfig(vault, `${await config(vault)}attest = ${attest}\n`);
}

async function verified(): Promise<Record<string, unknown>> {
  const { code, out, err } = await say(vault, ["verify", "--json"]);
  if (code !== 0) throw new Error(err);
  const { schema, version, data } = JSON.parse(out);
  expect({ schema, version }).toEqual({ schema: "fly-vault/verify", version: 1 });
  return data;
}

test("every fact with its standing, for people", async () => {
  await vault.configure({});
  const { code, out } = await say(vault, ["verify"]);
  expect(code).toBe(0);
  expect(out).toMatch(/^dev {2}attested just now by http/);
  for (const line of [
    /^ {2}org {6}acme {2}✓ pinned$/m,
    /^ {2}app {6}dev-vaults {2}✓ pinned$/m,
    /^ {2}machine {2}148e21ea7e46e8 {2}✓ pinned$/m,
    /^ {2}region {3}ord$/m,
    /^ {2}image {4}registry\.fly\.io\/dev-vaults:latest@sha256:9c1f\S+ {2}not pinned$/m,
    /^ {2}evidence \d+ s old {3}clock skew under 1 s$/m,
    /^not covered: Fly's own hosts, .* \(fly-vault help trust\)$/m,
  ])
    expect(out).toMatch(line);
  expect(vault.connectionCount).toBe(1);
});

test("an image that is named by its digest is not given it a second time", () => {
  const fact = { value: undefined, standing: "not pinned" } as const;
  const image = { value: imageOne, standing: "not pinned" } as const;
  const imageName = `registry.fly.io/dev-vaults@${imageOne}`;
  const facts = { org: fact, app: fact, machine: fact, init: fact, image, imageName };
  const times = { tokenAgeMs: 0, clockSkewMs: 0, attestedMs: 0 };
  const place = {
    vault: "dev",
    issuer: "https://issuer",
    region: "ord",
    digestsAllowed: undefined,
  };
  const text = renderVerified({ ...facts, ...times, ...place }, {});
  expect(text).toContain(`  image    ${imageName}  not pinned\n`);
});

test("and for programs: first use, then pinned; allowed where there is a list", async () => {
  await policy(`{ pin_image = true, min_init_version = "0.1" }`);
  expect(await verified()).toMatchObject({
    org: { value: "acme", standing: "pinned" },
    machine: { value: one, standing: "first_use" },
    image: { value: imageOne, standing: "first_use" },
    init_version: { value: "0.1.0", standing: "allowed" },
    binding: "tls_exporter",
    clock_skew_ms: 0,
  });
  expect(await verified()).toMatchObject({
    machine: { standing: "pinned" },
    image: { standing: "pinned" },
  });
  await policy(`{ image_digests = ["${imageOne}", "${imageTwo}"], machine = "${one}" }`);
  expect(await verified()).toMatchObject({
    machine: { standing: "pinned" },
    image: { standing: "allowed" },
    digests_allowed: 2,
  });
});

test("another machine: old and new are named, exit 5, nothing was proven to it", async () => {
  await policy();
  await verified();
  vault.machineId = two;
  vault.forgetConnections();
  const { code, err, out } = await say(vault, ["verify"]);
  expect({ code, out }).toEqual({ code: 5, out: "" });
  expect(err).toContain(`first seen was machine ${one}, now it is ${two}`);
  expect(err).toMatch(/fix: {3}ask whoever runs the machine .*fly-vault trust dev$/m);
  expect(vault.connectionCount).toBe(0);
  expect((await say(vault, ["exec", "--", "true"])).code).toBe(5);
});

test("another image matters where it is pinned, also with machine_id in the configuration", async () => {
  await policy();
  await verified();
  vault.imageDigest = imageTwo;
  expect((await verified())["image"]).toMatchObject({ standing: "not_pinned" });
  await vault.configure({});
  await writeConfig(vault, `${await config(vault)}attest = { pin_image = true }\n`);
  vault.imageDigest = imageOne;
  // The record is of the same machine, with the image seen first.
  expect((await verified())["image"]).toMatchObject({ standing: "pinned" });
  vault.imageDigest = imageTwo;
  const changed = await say(vault, ["verify"]);
  expect(changed.code).toBe(5);
  expect(changed.err).toContain("FV-ATT-010");
  expect(changed.err).toContain(`first seen was ${imageOne}, now it is ${imageTwo}`);
});

test("the policy of the configuration: digests, machine, oldest init", async () => {
  for (const [attest, code] of [
    [`{ image_digests = ["${imageTwo}"] }`, "FV-ATT-009"],
    [`{ machine = "${two}" }`, "FV-ATT-003"],
    [`{ min_init_version = "0.2" }`, "FV-ATT-011"],
  ] as const) {
    await policy(attest);
    const { code: status, err } = await say(vault, ["verify"]);
    expect(status).toBe(5);
    expect(err).toContain(code);
  }
  for (const attest of [
    `{ machin = "${two}" }`,
    `{ image_digests = [] }`,
    `{ min_init_version = "x" }`,
    "3",
  ]) {
    await policy(attest);
    expect((await say(vault, ["verify"])).err).toMatch(
      /config\.toml:7: "attest" (must be a table|has )/,
    );
  }
  await vault.configure({});
  await writeConfig(vault, `${await config(vault)}attest = { machine = "${two}" }\n`);
  expect((await say(vault, ["verify"])).err).toContain('names another machine than "machine_id"');
});

test("trust shows both, and wants a yes: without a terminal a flag", async () => {
  await policy("{ pin_image = true }");
  await verified();
  vault.machineId = two;
  vault.imageDigest = imageTwo;
  const unasked = await say(vault, ["trust"]);
  expect(unasked.code).toBe(2);
  expect(unasked.err).toContain("without --yes");
  expect((await say(vault, ["verify"])).code).toBe(5);
  const terminal = new PtyClient(["trust"], { ...vault.env, LANG: "C.UTF-8" });
  try {
    await terminal.shows(new RegExp(`remembered {2}machine ${one}, image ${imageOne}`));
    await terminal.shows(/from now on\? \[y\/N\]: $/);
    terminal.type("\n");
    expect(await terminal.exited()).toBe(1);
  } finally {
    terminal.close();
  }
  expect((await say(vault, ["verify"])).code).toBe(5);
  const accepted = await say(vault, ["verify", "--accept", "--yes"]);
  expect(accepted.code).toBe(0);
  expect(accepted.err).toContain(`answers now machine ${two}, image ${imageTwo}`);
  expect(await verified()).toMatchObject({ machine: { value: two, standing: "pinned" } });
});

test("trust is no way round the token, nor round the configuration", async () => {
  await policy();
  await verified();
  vault.machineId = two;
  vault.token = "another token";
  expect((await say(vault, ["trust", "--yes"])).code).toBe(4);
  vault.token = testToken;
  expect((await say(vault, ["verify"])).code).toBe(5);
  await policy(`{ machine = "${one}" }`);
  expect((await say(vault, ["trust", "--yes"])).code).toBe(5);
});

test("nothing of the token is in what is printed", async () => {
  await policy();
  const said = [await say(vault, ["verify", "-vv"]), await say(vault, ["trust", "--yes", "-vv"])];
  vault.machineId = two;
  said.push(await say(vault, ["verify", "--debug"]), await say(vault, ["verify", "--json"]));
  const text = said.map(({ out, err }) => out + err).join("");
  expect(secretTraces(Buffer.from(text), testToken, "dev-vaults")).toEqual([]);
});

test("a yes is for the machine that was shown, not for one that came meanwhile", async () => {
  await policy("{ pin_image = true }");
  await verified();
  for (const swap of [
    (): void => void (vault.machineId = "3333333333bbbb"),
    (): void => void (vault.imageDigest = `sha256:${"cd".repeat(32)}`),
  ]) {
    vault.machineId = two;
    vault.imageDigest = imageTwo;
    const terminal = new PtyClient(["trust"], vault.env);
    try {
      await terminal.shows(/from now on\? \[y\/N\]: $/);
      swap();
      terminal.type("y\n");
      expect(await terminal.exited()).toBe(5);
    } finally {
      terminal.close();
    }
    vault.machineId = one;
    vault.imageDigest = imageOne;
    expect((await verified())["machine"]).toMatchObject({ value: one, standing: "pinned" });
  }
});
