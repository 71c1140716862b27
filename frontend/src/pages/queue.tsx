export function Queue(_: { id: string }) { return <h1 tabIndex={-1}>Queue</h1>; }
