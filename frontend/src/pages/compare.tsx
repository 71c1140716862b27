export function Compare(_: { id: string }) { return <h1 tabIndex={-1}>Compare</h1>; }
