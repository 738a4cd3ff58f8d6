/** The statement behind an export: one snapshot, one line of devices.txt a row (contract 4.1), in the order of ids. */

/**
 * COPY ... TO STDOUT, whose rows are the lines as they are, ended by a line feed: the quote and delimiter are control
 * characters, which JSON text never holds, so that nothing is escaped. Ids need no escaping either (contract 6), and
 * the JSON columns hold just the text that a line needs.
 */
export function exportStatement(hubId: number, excludeKeys: boolean): string {
  const authentication = excludeKeys ? "'null'" : "authentication";
  // hubId is ours; COPY takes no parameters.
  return `
    copy (
      select concat(
        '{"id":"', device_id, case when module_id <> '' then '","moduleId":"' end, module_id,
        '","eTag":"', encode(etag::text::bytea, 'base64'), case when enabled then '","status":"enabled"' else '","status":"disabled"' end,
        ',"statusReason":' || to_json(status_reason)::text,
        ',"authentication":', ${authentication}, ',"twinETag":"', encode(int8send(twin_etag), 'base64'),
        '","tags":', tags, ',"properties":{"desired":', desired, ',"reported":', reported,
        case when iot_edge then '},"capabilities":{"iotEdge":true}' else '},"capabilities":{"iotEdge":false}' end,
        ',"deviceScope":' || to_json(device_scope)::text, ',"parentScopes":' || parent_scopes, '}')
        from identities
       where hub_id = ${hubId}
       order by device_id, module_id
    ) to stdout with (format csv, quote e'\\x01', delimiter e'\\x02')`;
}
