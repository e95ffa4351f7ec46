import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parse } from "smol-toml";
import * as v from "valibot";

const root = fileURLToPath(new URL("../..", import.meta.url));
const text = (path: string): string => readFileSync(join(root, path), "utf8");

/**
 * Of https://fly.io/docs/reference/configuration/ what the examples use, as flyctl's internal/appconfig reads it.
 * A key that is not here is a slip, or has to be looked up first: flyctl drops what it does not know.
 */
const port = v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(65_535));
const duration = v.union([v.pipe(v.string(), v.regex(/^\d+(ms|s|m|h)$/)), v.number()]);
const size = v.pipe(v.string(), v.regex(/^\d+(mb|gb)$/));
const service = v.strictObject({
  protocol: v.picklist(["tcp", "udp"]),
  internal_port: port,
  auto_stop_machines: v.optional(v.picklist(["off", "stop", "suspend"])),
  auto_start_machines: v.optional(v.boolean()),
  concurrency: v.optional(
    v.strictObject({
      type: v.picklist(["connections", "requests"]),
      soft_limit: v.number(),
      hard_limit: v.number(),
    }),
  ),
  ports: v.array(v.strictObject({ port, handlers: v.optional(v.array(v.string())) })),
  http_checks: v.optional(
    v.array(
      v.strictObject({
        path: v.string(),
        interval: duration,
        timeout: duration,
        grace_period: duration,
      }),
    ),
  ),
});
const flyToml = v.strictObject({
  app: v.string(),
  primary_region: v.pipe(v.string(), v.length(3)),
  kill_signal: v.picklist(["SIGINT", "SIGTERM"]),
  kill_timeout: duration,
  build: v.strictObject({ image: v.string() }),
  env: v.record(v.string(), v.string()),
  mounts: v.optional(
    v.array(
      v.strictObject({
        source: v.pipe(v.string(), v.regex(/^[a-z0-9_]{1,30}$/)),
        destination: v.string(),
        initial_size: size,
      }),
    ),
  ),
  services: v.array(service),
  restart: v.optional(
    v.array(
      v.strictObject({
        policy: v.picklist(["always", "never", "on-failure"]),
        retries: v.number(),
      }),
    ),
  ),
  metrics: v.optional(v.strictObject({ port, path: v.string() })),
  vm: v.array(v.strictObject({ size: v.string(), memory: size })),
});

test.each(["machine", "proxy"])("examples/%s/fly.toml has only keys that Fly knows", (name) => {
  const { services } = v.parse(flyToml, parse(text(`examples/${name}/fly.toml`)));
  for (const { protocol, internal_port: inside, ports } of services)
    if (protocol === "udp") expect(ports.map((each) => each.port)).toEqual([inside]);
});

const seconds = (value: unknown) => Number(/^(\d+)s$/.exec(String(value))?.[1]);

test("the machine's settings are init's, and it is stopped late enough", () => {
  const machine = v.parse(flyToml, parse(text("examples/machine/fly.toml")));
  const known = text("docs/init.md");
  for (const name of Object.keys(machine.env)) expect(known).toContain(`| \`${name}\` `);
  expect(machine.mounts?.[0]?.destination).toBe("/data");
  expect(seconds(machine.kill_timeout)).toBeGreaterThan(seconds(machine.env["VAULT_STOP_GRACE"]));
  expect(Object.keys(machine.env)).not.toContain("ACCESS_TOKEN");
});

test("the proxy's is that of docs/proxy.md, but for where the image comes from", () => {
  const [, shown = ""] =
    /`fly\.proxy\.toml`:\n\n```toml\n([\s\S]*?)```/.exec(text("docs/proxy.md")) ?? [];
  const { build: _shown, ...documented } = parse(shown);
  const { build: _own, ...example } = parse(text("examples/proxy/fly.toml"));
  expect(example).toEqual(documented);
});
