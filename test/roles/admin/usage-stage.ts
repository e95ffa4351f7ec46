import type { UsageSnapshot } from "../../../src/roles/admin/usage-snapshot.ts";
import { bearerOf } from "../../../src/roles/admin/usage-bearer.ts";
import { UsageCache } from "../../../src/roles/admin/usage-cache.ts";
import { UsageService } from "../../../src/roles/admin/usage-service.ts";

export const token = "a-bearer-of-good-length";
/** A fleet of so many machines. */
export const snapshot = (machines: number): UsageSnapshot => ({
  observedAtMs: Date.parse("2026-11-01T00:00:00Z"),
  machines: Array.from({ length: machines }, (_, index) => ({
    id: `1000000000000${index % 10}${Math.floor(index / 10)}`,
    state: "started",
    region: "ord",
    config: {
      guest: { memory_mb: 512 },
      metadata: { "fly_vault.tenant_id": 'ac"me' },
      mounts: [{ volume: `vol_${index}` }],
    },
  })),
  volumeSizes: new Map(),
});

/** The service with a Fly and a clock of the test. */
export interface UsageStage {
  readonly service: UsageService;
  readonly cache: UsageCache;
  loads: number;
  nowMs: number;
  outcome: () => Promise<UsageSnapshot>;
  get(path: string, headers?: Record<string, string>, init?: RequestInit): Promise<Response>;
}
export const usageStage = (
  options: { readonly bearer?: string; readonly isLoopback?: boolean } = {},
): UsageStage => {
  const cache = new UsageCache(
    async () => {
      stage.loads += 1;
      return stage.outcome();
    },
    () => stage.nowMs,
  );
  const service = new UsageService({
    app: "vault-tenants",
    cache,
    bearer: options.bearer === undefined ? undefined : bearerOf(options.bearer),
    journal: undefined,
    isLoopback: options.isLoopback ?? true,
    nowMs: () => stage.nowMs,
  });
  const stage: UsageStage = {
    service,
    cache,
    loads: 0,
    nowMs: 0,
    outcome: async () => snapshot(1),
    get: async (path, headers = {}, init = {}) =>
      service.answer(new Request(`http://localhost${path}`, { ...init, headers }), "127.0.0.1"),
  };
  return stage;
};
export const authorised: Record<string, string> = { authorization: `Bearer ${token}` };
