import { ApiError } from "./api-error.ts";

interface Region {
  readonly code: string;
  readonly name: string;
  readonly geo: string;
  readonly latitude: number;
  readonly longitude: number;
}

/** Fly's regions, so that what names one is judged as there. All are this computer. */
export const regions: readonly Region[] = [
  region("ams", "Amsterdam, Netherlands", "eu", [52.37, 4.9]),
  region("arn", "Stockholm, Sweden", "eu", [59.65, 17.92]),
  region("bom", "Mumbai, India", "apac", [19.1, 72.88]),
  region("cdg", "Paris, France", "eu", [48.86, 2.34]),
  region("dfw", "Dallas, Texas (US)", "na", [32.78, -96.81]),
  region("ewr", "Secaucus, NJ (US)", "na", [40.79, -74.06]),
  region("fra", "Frankfurt, Germany", "eu", [50.03, 8.56]),
  region("gru", "Sao Paulo, Brazil", "sa", [-23.55, -46.63]),
  region("iad", "Ashburn, Virginia (US)", "na", [39.02, -77.54]),
  region("jnb", "Johannesburg, South Africa", "af", [-26.13, 28.23]),
  region("lax", "Los Angeles, California (US)", "na", [33.94, -118.41]),
  region("lhr", "London, United Kingdom", "eu", [51.52, -0.14]),
  region("nrt", "Tokyo, Japan", "apac", [35.62, 139.78]),
  region("ord", "Chicago, Illinois (US)", "na", [41.89, -87.64]),
  region("sin", "Singapore, Singapore", "apac", [1.36, 103.99]),
  region("sjc", "San Jose, California (US)", "na", [37.35, -121.96]),
  region("syd", "Sydney, Australia", "apac", [-33.87, 151.1]),
  region("yyz", "Toronto, Canada", "na", [43.64, -79.4]),
];

/** The regions that an ordered list of codes and aliases stands for; the own one where nothing is said. */
export function regionsNamed(list: string | null | undefined, own: string): string[] {
  const words = (list ?? "").split(",").map((word) => word.trim());
  const named = words.filter((word) => word !== "");
  if (named.length === 0) return [own];
  return [...new Set(named.flatMap((word) => expanded(word, own)))];
}

function expanded(word: string, own: string): string[] {
  const codes = regions.map(({ code }) => code);
  if (word === own || codes.includes(word)) return [word];
  if (word === "any") return [own, ...codes];
  const within = regions.filter(({ geo }) => geo === word).map(({ code }) => code);
  if (within.length > 0) return within.includes(own) ? [own, ...within] : within;
  throw new ApiError(400, `invalid_argument: region ${JSON.stringify(word)} not found`);
}

function region(
  code: string,
  name: string,
  geo: string,
  [latitude, longitude]: readonly [number, number],
): Region {
  return { code, name, geo, latitude, longitude };
}
