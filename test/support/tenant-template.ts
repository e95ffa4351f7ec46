/** The template of the README, for one app. */
export function tenantTemplate(app: string): string {
  return `version = 1
app = "${app}"
machine_count = 1

[machine]
name = "tenant-{{tenant_id}}-{{index}}"
region = "ord"

[machine.config]
image = "registry.fly.io/${app}/init:latest"

[[machine.config.mounts]]
path = "/data"
name = "tvol_{{tenant_id}}_{{index}}"
size_gb = 1

[machine.config.env]
ACCESS_TOKEN = "{{access_token}}"
`;
}
