// What the service refuses, in words for a person.

export class ApiError extends Error {
  constructor(
    readonly status: number,
    detail: string,
  ) {
    super(detail);
  }
}

/** The service could not be reached, or something before it could not reach it. */
export class Unreachable extends Error {}

interface Issue {
  loc?: (string | number)[];
  msg?: string;
}

export async function detailOf(response: Response): Promise<string> {
  try {
    const { detail } = (await response.json()) as { detail?: unknown };
    if (typeof detail === "string") return detail;
    if (Array.isArray(detail)) return (detail as Issue[]).map(issueText).join("\n");
  } catch {
    // Not JSON: a proxy's page, perhaps.
  }
  return `The service answered ${response.status} ${response.statusText}`.trim();
}

function issueText({ loc = [], msg = "" }: Issue): string {
  const place = loc.slice(1).join(".");
  return place ? `${place}: ${msg}` : msg;
}
