/** Of what a machine gets to stop, a little less for its workload: init must still put things in order before it is killed. */
export function workloadGraceMs(machineGraceMs: number): number {
  return Math.floor(Math.max(machineGraceMs * 0.8, machineGraceMs - 1000));
}
