/** Made by build/api-description.ts from "Machines API" 1.0 (Apache-2.0). Do not edit. */
export interface ApiSchemas {
  App: {
    readonly id?: string;
    readonly internal_numeric_id?: number;
    readonly machine_count?: number;
    readonly name?: string;
    readonly network?: string;
    readonly network_cidr?: string;
    readonly organization?: ApiSchemas["AppOrganizationInfo"];
    readonly status?: string;
    readonly volume_count?: number;
  };
  AppOrganizationInfo: {
    readonly internal_numeric_id?: number;
    readonly name?: string;
    readonly slug?: string;
  };
  CheckStatus: {
    readonly name?: string;
    readonly output?: string;
    readonly status?: string;
    readonly updated_at?: string;
  };
  CreateMachineRequest: {
    readonly config?: ApiSchemas["fly.MachineConfig"];
    readonly lease_ttl?: number;
    readonly min_secrets_version?: number;
    readonly name?: string;
    readonly region?: string;
    readonly skip_launch?: boolean;
    readonly skip_secrets?: boolean;
    readonly skip_service_registration?: boolean;
  };
  CreateVolumeRequest: {
    readonly auto_backup_enabled?: boolean;
    readonly compute?: ApiSchemas["fly.MachineGuest"];
    readonly compute_image?: string;
    readonly encrypted?: boolean;
    readonly fstype?: string;
    readonly name?: string;
    readonly region?: string;
    readonly require_unique_zone?: boolean;
    readonly size_gb?: number;
    readonly snapshot_id?: string;
    readonly snapshot_retention?: number;
    readonly source_volume_id?: string;
    readonly unique_zone_app_wide?: boolean;
  };
  ErrorResponse: {
    readonly details?: Readonly<Record<string, unknown>>;
    readonly error?: string;
    readonly status?: ApiSchemas["main.statusCode"];
  };
  ImageRef: {
    readonly digest?: string;
    readonly labels?: Readonly<Record<string, string>>;
    readonly registry?: string;
    readonly repository?: string;
    readonly tag?: string;
  };
  Lease: {
    readonly description?: string;
    readonly expires_at?: number;
    readonly nonce?: string;
    readonly owner?: string;
    readonly version?: string;
  };
  Machine: {
    readonly checks?: readonly ApiSchemas["CheckStatus"][];
    readonly config?: ApiSchemas["fly.MachineConfig"];
    readonly cordoned?: boolean;
    readonly created_at?: string;
    readonly events?: readonly ApiSchemas["MachineEvent"][];
    readonly host_features?: readonly string[];
    readonly host_status?: "ok" | "unknown" | "unreachable";
    readonly id?: string;
    readonly image_ref?: ApiSchemas["ImageRef"];
    readonly incomplete_config?: ApiSchemas["fly.MachineConfig"];
    readonly instance_id?: string;
    readonly lease?: ApiSchemas["StrippedLease"];
    readonly name?: string;
    readonly nonce?: string;
    readonly private_ip?: string;
    readonly region?: string;
    readonly state?: string;
    readonly updated_at?: string;
    readonly version?: string;
  };
  MachineEvent: {
    readonly id?: string;
    readonly request?: Readonly<Record<string, unknown>>;
    readonly source?: string;
    readonly status?: string;
    readonly timestamp?: number;
    readonly type?: string;
  };
  MachineExecRequest: {
    readonly cmd?: string;
    readonly command?: readonly string[];
    readonly container?: string;
    readonly machine?: boolean;
    readonly stdin?: string;
    readonly timeout?: number;
  };
  StrippedLease: {
    readonly description?: string;
    readonly expires_at?: number;
    readonly owner?: string;
  };
  UpdateMachineRequest: {
    readonly config?: ApiSchemas["fly.MachineConfig"];
    readonly current_version?: string;
    readonly lease_ttl?: number;
    readonly min_secrets_version?: number;
    readonly name?: string;
    readonly region?: string;
    readonly skip_launch?: boolean;
    readonly skip_secrets?: boolean;
    readonly skip_service_registration?: boolean;
  };
  Volume: {
    readonly attached_alloc_id?: string;
    readonly attached_machine_id?: string;
    readonly auto_backup_enabled?: boolean;
    readonly block_size?: number;
    readonly blocks?: number;
    readonly blocks_avail?: number;
    readonly blocks_free?: number;
    readonly bytes_total?: number;
    readonly bytes_used?: number;
    readonly created_at?: string;
    readonly encrypted?: boolean;
    readonly fstype?: string;
    readonly host_features?: readonly string[];
    readonly host_status?: "ok" | "unknown" | "unreachable";
    readonly id?: string;
    readonly name?: string;
    readonly region?: string;
    readonly required_host_features?: readonly string[];
    readonly size_gb?: number;
    readonly snapshot_retention?: number;
    readonly state?: string;
    readonly type?: "local" | "cache";
    readonly zone?: string;
  };
  WaitMachineResponse: {
    readonly event_id?: string;
    readonly ok?: boolean;
    readonly state?: string;
    readonly version?: string;
  };
  "fly.ContainerConfig": {
    readonly cmd?: readonly string[];
    readonly depends_on?: readonly ApiSchemas["fly.ContainerDependency"][];
    readonly entrypoint?: readonly string[];
    readonly env?: Readonly<Record<string, string>>;
    readonly env_from?: readonly ApiSchemas["fly.EnvFrom"][];
    readonly exec?: readonly string[];
    readonly files?: readonly ApiSchemas["fly.File"][];
    readonly healthchecks?: readonly ApiSchemas["fly.ContainerHealthcheck"][];
    readonly image?: string;
    readonly name?: string;
    readonly restart?: ApiSchemas["fly.MachineRestart"];
    readonly secrets?: readonly ApiSchemas["fly.MachineSecret"][];
    readonly stop?: ApiSchemas["fly.StopConfig"];
    readonly user?: string;
  };
  "fly.ContainerDependency": {
    readonly condition?: ApiSchemas["fly.ContainerDependencyCondition"];
    readonly name?: string;
  };
  "fly.ContainerDependencyCondition": "exited_successfully" | "healthy" | "started";
  "fly.ContainerHealthcheck": {
    readonly exec?: ApiSchemas["fly.ExecHealthcheck"];
    readonly failure_threshold?: number;
    readonly grace_period?: number;
    readonly http?: ApiSchemas["fly.HTTPHealthcheck"];
    readonly interval?: number;
    readonly kind?: ApiSchemas["fly.ContainerHealthcheckKind"];
    readonly name?: string;
    readonly success_threshold?: number;
    readonly tcp?: ApiSchemas["fly.TCPHealthcheck"];
    readonly timeout?: number;
    readonly unhealthy?: ApiSchemas["fly.UnhealthyPolicy"];
  };
  "fly.ContainerHealthcheckKind": "readiness" | "liveness";
  "fly.ContainerHealthcheckScheme": "http" | "https";
  "fly.DNSConfig": {
    readonly dns_forward_rules?: readonly ApiSchemas["fly.dnsForwardRule"][];
    readonly hostname?: string;
    readonly hostname_fqdn?: string;
    readonly nameservers?: readonly string[];
    readonly options?: readonly ApiSchemas["fly.dnsOption"][];
    readonly searches?: readonly string[];
    readonly skip_registration?: boolean;
  };
  "fly.EnvFrom": {
    readonly env_var?: string;
    readonly field_ref?: "id" | "version" | "app_name" | "private_ip" | "region" | "image";
  };
  "fly.ExecHealthcheck": { readonly command?: readonly string[] };
  "fly.File": {
    readonly guest_path?: string;
    readonly image_config?: string;
    readonly mode?: number;
    readonly raw_value?: string;
    readonly secret_name?: string;
  };
  "fly.HTTPHealthcheck": {
    readonly headers?: readonly ApiSchemas["fly.MachineHTTPHeader"][];
    readonly method?: string;
    readonly path?: string;
    readonly port?: number;
    readonly scheme?: ApiSchemas["fly.ContainerHealthcheckScheme"];
    readonly tls_server_name?: string;
    readonly tls_skip_verify?: boolean;
  };
  "fly.HTTPOptions": {
    readonly compress?: boolean;
    readonly h2_backend?: boolean;
    readonly headers_read_timeout?: number;
    readonly idle_timeout?: number;
    readonly replay_cache?: readonly ApiSchemas["fly.ReplayCache"][];
    readonly response?: ApiSchemas["fly.HTTPResponseOptions"];
  };
  "fly.HTTPResponseOptions": {
    readonly headers?: Readonly<Record<string, Readonly<Record<string, unknown>>>>;
    readonly pristine?: boolean;
  };
  "fly.MachineCacheDrive": { readonly size_mb?: number };
  "fly.MachineCheck": {
    readonly grace_period?: string;
    readonly headers?: readonly ApiSchemas["fly.MachineHTTPHeader"][];
    readonly interval?: string;
    readonly kind?: "informational" | "readiness";
    readonly method?: string;
    readonly path?: string;
    readonly port?: number;
    readonly protocol?: string;
    readonly timeout?: string;
    readonly tls_server_name?: string;
    readonly tls_skip_verify?: boolean;
    readonly type?: string;
  };
  "fly.MachineConfig": {
    readonly auto_destroy?: boolean;
    readonly cache_drive?: ApiSchemas["fly.MachineCacheDrive"];
    readonly checks?: Readonly<Record<string, ApiSchemas["fly.MachineCheck"]>>;
    readonly containers?: readonly ApiSchemas["fly.ContainerConfig"][];
    readonly disable_machine_autostart?: boolean;
    readonly dns?: ApiSchemas["fly.DNSConfig"];
    readonly env?: Readonly<Record<string, string>>;
    readonly files?: readonly ApiSchemas["fly.File"][];
    readonly guest?: ApiSchemas["fly.MachineGuest"];
    readonly image?: string;
    readonly init?: ApiSchemas["fly.MachineInit"];
    readonly metadata?: Readonly<Record<string, string>>;
    readonly metrics?: ApiSchemas["fly.MachineMetrics"];
    readonly mounts?: readonly ApiSchemas["fly.MachineMount"][];
    readonly processes?: readonly ApiSchemas["fly.MachineProcess"][];
    readonly restart?: ApiSchemas["fly.MachineRestart"];
    readonly rootfs?: ApiSchemas["fly.MachineRootfs"];
    readonly schedule?: string;
    readonly services?: readonly ApiSchemas["fly.MachineService"][];
    readonly size?: string;
    readonly spot?: ApiSchemas["fly.MachineSpot"];
    readonly standbys?: readonly string[];
    readonly statics?: readonly ApiSchemas["fly.Static"][];
    readonly stop_config?: ApiSchemas["fly.StopConfig"];
  };
  "fly.MachineGuest": {
    readonly cpu_kind?: string;
    readonly cpus?: number;
    readonly gpu_kind?: string;
    readonly gpus?: number;
    readonly host_dedication_id?: string;
    readonly kernel_args?: readonly string[];
    readonly max_memory_mb?: number;
    readonly memory_mb?: number;
    readonly persist_rootfs?: "never" | "always" | "restart";
    readonly required_host_features?: readonly string[];
  };
  "fly.MachineHTTPHeader": { readonly name?: string; readonly values?: readonly string[] };
  "fly.MachineInit": {
    readonly cmd?: readonly string[];
    readonly entrypoint?: readonly string[];
    readonly exec?: readonly string[];
    readonly kernel_args?: readonly string[];
    readonly swap_size_mb?: number;
    readonly tty?: boolean;
  };
  "fly.MachineMetrics": {
    readonly https?: boolean;
    readonly path?: string;
    readonly port?: number;
  };
  "fly.MachineMount": {
    readonly add_size_gb?: number;
    readonly add_size_percent?: number;
    readonly encrypted?: boolean;
    readonly extend_threshold_percent?: number;
    readonly min_add_size_gb?: number;
    readonly name?: string;
    readonly path?: string;
    readonly size_gb?: number;
    readonly size_gb_limit?: number;
    readonly volume?: string;
  };
  "fly.MachinePort": {
    readonly end_port?: number;
    readonly force_https?: boolean;
    readonly handlers?: readonly string[];
    readonly http_options?: ApiSchemas["fly.HTTPOptions"];
    readonly port?: number;
    readonly proxy_proto_options?: ApiSchemas["fly.ProxyProtoOptions"];
    readonly start_port?: number;
    readonly tls_options?: ApiSchemas["fly.TLSOptions"];
  };
  "fly.MachineProcess": {
    readonly cmd?: readonly string[];
    readonly entrypoint?: readonly string[];
    readonly env?: Readonly<Record<string, string>>;
    readonly env_from?: readonly ApiSchemas["fly.EnvFrom"][];
    readonly exec?: readonly string[];
    readonly ignore_app_secrets?: boolean;
    readonly secrets?: readonly ApiSchemas["fly.MachineSecret"][];
    readonly user?: string;
  };
  "fly.MachineRestart": {
    readonly max_retries?: number;
    readonly policy?: "no" | "always" | "on-failure";
  };
  "fly.MachineRootfs": {
    readonly persist?: "never" | "always" | "restart";
    readonly size_gb?: number;
  };
  "fly.MachineSecret": { readonly env_var?: string; readonly name?: string };
  "fly.MachineService": {
    readonly autostart?: boolean;
    readonly autostop?: "off" | "stop" | "suspend";
    readonly checks?: readonly ApiSchemas["fly.MachineServiceCheck"][];
    readonly concurrency?: ApiSchemas["fly.MachineServiceConcurrency"];
    readonly force_instance_description?: string;
    readonly force_instance_key?: string;
    readonly internal_port?: number;
    readonly min_machines_running?: number;
    readonly ports?: readonly ApiSchemas["fly.MachinePort"][];
    readonly protocol?: string;
  };
  "fly.MachineServiceCheck": {
    readonly grace_period?: string;
    readonly headers?: readonly ApiSchemas["fly.MachineHTTPHeader"][];
    readonly interval?: string;
    readonly method?: string;
    readonly path?: string;
    readonly port?: number;
    readonly protocol?: string;
    readonly timeout?: string;
    readonly tls_server_name?: string;
    readonly tls_skip_verify?: boolean;
    readonly type?: string;
  };
  "fly.MachineServiceConcurrency": {
    readonly hard_limit?: number;
    readonly soft_limit?: number;
    readonly type?: string;
  };
  "fly.MachineSpot": { readonly max_price_fraction?: number };
  "fly.ProxyProtoOptions": { readonly version?: string };
  "fly.ReplayCache": {
    readonly allow_bypass?: boolean;
    readonly name?: string;
    readonly path_prefix?: string;
    readonly ttl_seconds?: number;
    readonly type?: "cookie" | "header";
  };
  "fly.Static": {
    readonly guest_path?: string;
    readonly index_document?: string;
    readonly tigris_bucket?: string;
    readonly url_prefix?: string;
  };
  "fly.StopConfig": {
    readonly signal?:
      "SIGHUP" | "SIGINT" | "SIGQUIT" | "SIGKILL" | "SIGUSR1" | "SIGUSR2" | "SIGTERM";
    readonly timeout?: string;
  };
  "fly.TCPHealthcheck": { readonly port?: number };
  "fly.TLSOptions": {
    readonly alpn?: readonly string[];
    readonly default_self_signed?: boolean;
    readonly versions?: readonly string[];
  };
  "fly.UnhealthyPolicy": "stop";
  "fly.dnsForwardRule": { readonly addr?: string; readonly basename?: string };
  "fly.dnsOption": { readonly name?: string; readonly value?: string };
  "flydv1.ExecResponse": {
    readonly exit_code?: number;
    readonly exit_signal?: number;
    readonly stderr?: string;
    readonly stdout?: string;
  };
  "main.statusCode":
    "unknown" | "insufficient_capacity" | "volume_placement_capacity" | "name_taken";
}

/** Every member of a machine's configuration, and the schema of what it holds if that is ours to know. */
export const configMembers: Readonly<Record<string, Readonly<Record<string, string | null>>>> = {
  "fly.ContainerConfig": {
    cmd: null,
    depends_on: "[fly.ContainerDependency]",
    entrypoint: null,
    env: null,
    env_from: "[fly.EnvFrom]",
    exec: null,
    files: "[fly.File]",
    healthchecks: "[fly.ContainerHealthcheck]",
    image: null,
    name: null,
    restart: "fly.MachineRestart",
    secrets: "[fly.MachineSecret]",
    stop: "fly.StopConfig",
    user: null,
  },
  "fly.ContainerDependency": { condition: "fly.ContainerDependencyCondition", name: null },
  "fly.ContainerHealthcheck": {
    exec: "fly.ExecHealthcheck",
    failure_threshold: null,
    grace_period: null,
    http: "fly.HTTPHealthcheck",
    interval: null,
    kind: "fly.ContainerHealthcheckKind",
    name: null,
    success_threshold: null,
    tcp: "fly.TCPHealthcheck",
    timeout: null,
    unhealthy: "fly.UnhealthyPolicy",
  },
  "fly.DNSConfig": {
    dns_forward_rules: "[fly.dnsForwardRule]",
    hostname: null,
    hostname_fqdn: null,
    nameservers: null,
    options: "[fly.dnsOption]",
    searches: null,
    skip_registration: null,
  },
  "fly.EnvFrom": { env_var: null, field_ref: null },
  "fly.ExecHealthcheck": { command: null },
  "fly.File": {
    guest_path: null,
    image_config: null,
    mode: null,
    raw_value: null,
    secret_name: null,
  },
  "fly.HTTPHealthcheck": {
    headers: "[fly.MachineHTTPHeader]",
    method: null,
    path: null,
    port: null,
    scheme: "fly.ContainerHealthcheckScheme",
    tls_server_name: null,
    tls_skip_verify: null,
  },
  "fly.HTTPOptions": {
    compress: null,
    h2_backend: null,
    headers_read_timeout: null,
    idle_timeout: null,
    replay_cache: "[fly.ReplayCache]",
    response: "fly.HTTPResponseOptions",
  },
  "fly.HTTPResponseOptions": { headers: null, pristine: null },
  "fly.MachineCacheDrive": { size_mb: null },
  "fly.MachineCheck": {
    grace_period: null,
    headers: "[fly.MachineHTTPHeader]",
    interval: null,
    kind: null,
    method: null,
    path: null,
    port: null,
    protocol: null,
    timeout: null,
    tls_server_name: null,
    tls_skip_verify: null,
    type: null,
  },
  "fly.MachineConfig": {
    auto_destroy: null,
    cache_drive: "fly.MachineCacheDrive",
    checks: "{fly.MachineCheck}",
    containers: "[fly.ContainerConfig]",
    disable_machine_autostart: null,
    dns: "fly.DNSConfig",
    env: null,
    files: "[fly.File]",
    guest: "fly.MachineGuest",
    image: null,
    init: "fly.MachineInit",
    metadata: null,
    metrics: "fly.MachineMetrics",
    mounts: "[fly.MachineMount]",
    processes: "[fly.MachineProcess]",
    restart: "fly.MachineRestart",
    rootfs: "fly.MachineRootfs",
    schedule: null,
    services: "[fly.MachineService]",
    size: null,
    spot: "fly.MachineSpot",
    standbys: null,
    statics: "[fly.Static]",
    stop_config: "fly.StopConfig",
  },
  "fly.MachineGuest": {
    cpu_kind: null,
    cpus: null,
    gpu_kind: null,
    gpus: null,
    host_dedication_id: null,
    kernel_args: null,
    max_memory_mb: null,
    memory_mb: null,
    persist_rootfs: null,
    required_host_features: null,
  },
  "fly.MachineHTTPHeader": { name: null, values: null },
  "fly.MachineInit": {
    cmd: null,
    entrypoint: null,
    exec: null,
    kernel_args: null,
    swap_size_mb: null,
    tty: null,
  },
  "fly.MachineMetrics": { https: null, path: null, port: null },
  "fly.MachineMount": {
    add_size_gb: null,
    add_size_percent: null,
    encrypted: null,
    extend_threshold_percent: null,
    min_add_size_gb: null,
    name: null,
    path: null,
    size_gb: null,
    size_gb_limit: null,
    volume: null,
  },
  "fly.MachinePort": {
    end_port: null,
    force_https: null,
    handlers: null,
    http_options: "fly.HTTPOptions",
    port: null,
    proxy_proto_options: "fly.ProxyProtoOptions",
    start_port: null,
    tls_options: "fly.TLSOptions",
  },
  "fly.MachineProcess": {
    cmd: null,
    entrypoint: null,
    env: null,
    env_from: "[fly.EnvFrom]",
    exec: null,
    ignore_app_secrets: null,
    secrets: "[fly.MachineSecret]",
    user: null,
  },
  "fly.MachineRestart": { max_retries: null, policy: null },
  "fly.MachineRootfs": { persist: null, size_gb: null },
  "fly.MachineSecret": { env_var: null, name: null },
  "fly.MachineService": {
    autostart: null,
    autostop: null,
    checks: "[fly.MachineServiceCheck]",
    concurrency: "fly.MachineServiceConcurrency",
    force_instance_description: null,
    force_instance_key: null,
    internal_port: null,
    min_machines_running: null,
    ports: "[fly.MachinePort]",
    protocol: null,
  },
  "fly.MachineServiceCheck": {
    grace_period: null,
    headers: "[fly.MachineHTTPHeader]",
    interval: null,
    method: null,
    path: null,
    port: null,
    protocol: null,
    timeout: null,
    tls_server_name: null,
    tls_skip_verify: null,
    type: null,
  },
  "fly.MachineServiceConcurrency": { hard_limit: null, soft_limit: null, type: null },
  "fly.MachineSpot": { max_price_fraction: null },
  "fly.ProxyProtoOptions": { version: null },
  "fly.ReplayCache": {
    allow_bypass: null,
    name: null,
    path_prefix: null,
    ttl_seconds: null,
    type: null,
  },
  "fly.Static": { guest_path: null, index_document: null, tigris_bucket: null, url_prefix: null },
  "fly.StopConfig": { signal: null, timeout: null },
  "fly.TCPHealthcheck": { port: null },
  "fly.TLSOptions": { alpn: null, default_self_signed: null, versions: null },
  "fly.dnsForwardRule": { addr: null, basename: null },
  "fly.dnsOption": { name: null, value: null },
};
