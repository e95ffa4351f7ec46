import { closeSync } from "node:fs";
import * as v from "valibot";
import type { LogFields } from "../../../system/log.ts";
import { DescriptorReader, DescriptorWriter, openPipe } from "../../../system/process-pipe.ts";
import { Outbox } from "./outbox.ts";
import { OwnChild } from "./own-child.ts";
import { followReports } from "./report-lines.ts";
import {
  encodeWebOrder,
  encodeWebPlan,
  encodeWebSecrets,
  type WebOrder,
  type WebPlan,
  type WebReport,
  webReportSchema,
  type WebSecrets,
} from "../web-plan.ts";

export interface WebProcessOptions {
  readonly program: readonly string[];
  readonly plan: WebPlan;
  readonly secrets: WebSecrets;
  readonly onReport: (report: WebReport) => void;
}

/** One run of the process that speaks HTTP with whoever comes. */
export class WebProcess {
  readonly #child: OwnChild;
  readonly #orders: Outbox;

  /** Throws where it cannot be started. */
  static start(options: WebProcessOptions): WebProcess {
    const toWeb = openPipe();
    const fromWeb = openPipe();
    try {
      return new WebProcess(options, {
        stdio: [toWeb.readFd, fromWeb.writeFd, "inherit"],
        orders: toWeb.writeFd,
        reports: fromWeb.readFd,
      });
    } catch (error) {
      for (const fd of [toWeb.writeFd, fromWeb.readFd]) closeSync(fd);
      throw error;
    } finally {
      for (const fd of [toWeb.readFd, fromWeb.writeFd]) closeSync(fd);
    }
  }

  private constructor(
    { program, plan, secrets, onReport }: WebProcessOptions,
    fds: {
      readonly stdio: readonly (number | "inherit")[];
      readonly orders: number;
      readonly reports: number;
    },
  ) {
    const command = [...program, "proxy", "web", encodeWebPlan(plan)];
    this.#child = new OwnChild(command, fds.stdio, async (child) =>
      followReports(new DescriptorReader(fds.reports), reportLineSchema, child, onReport),
    );
    this.#orders = new Outbox(new DescriptorWriter(fds.orders));
    this.#orders.put("secrets", new TextEncoder().encode(encodeWebSecrets(secrets)));
    void this.#child.ended.then(() => this.#orders.close());
  }

  get ended(): Promise<void> {
    return this.#child.ended;
  }

  get end(): LogFields {
    return this.#child.end;
  }

  get hasListened(): boolean {
    return this.#child.hasListened;
  }

  tell(order: WebOrder): void {
    this.#orders.put(order.kind, new TextEncoder().encode(encodeWebOrder(order)));
  }

  async stop(): Promise<void> {
    // The end of what it is told is its end.
    this.#orders.close();
    await this.#child.stop();
  }

  kill(): void {
    this.#child.kill();
  }
}

const reportLineSchema = v.pipe(v.string(), v.parseJson(), webReportSchema);
