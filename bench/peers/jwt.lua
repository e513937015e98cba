-- The key is parsed once; OpenSSL verifies, cjson reads.
local pkey = require "openssl.pkey"
local digest = require "openssl.digest"
local cjson = require "cjson.safe"

local function read(path)
  local file = assert(io.open(path))
  local text = file:read("*a")
  file:close()
  return text
end

local key = pkey.new(read "{ground}/public.pem")

local function decode(part)
  part = part:gsub("-", "+"):gsub("_", "/")
  return ngx.decode_base64(part .. ("="):rep((4 - #part % 4) % 4))
end

-- A number as DER writes it.
local function integer(bytes)
  bytes = bytes:gsub("^%z+", "")
  if bytes == "" or bytes:byte(1) >= 128 then
    bytes = "\0" .. bytes
  end
  return "\2" .. string.char(#bytes) .. bytes
end

local function der(signature)
  local both = integer(signature:sub(1, 32)) .. integer(signature:sub(33, 64))
  return "\48" .. string.char(#both) .. both
end

local jwt = {}

function jwt.check()
  local header, payload, signature =
    (ngx.var.http_authorization or ""):match("^Bearer ([%w_-]+)%.([%w_-]+)%.([%w_-]+)$")
  if not header then
    return ngx.exit(401)
  end
  local head, claims, bytes = cjson.decode(decode(header) or ""), cjson.decode(decode(payload) or ""), decode(signature)
  if not head or not claims or not bytes or head.alg ~= "ES256" or #bytes ~= 64 then
    return ngx.exit(401)
  end
  local hash = digest.new("sha256")
  hash:update(header .. "." .. payload)
  local done, good = pcall(key.verify, key, der(bytes), hash)
  if not done or not good then
    return ngx.exit(401)
  end
  if claims.iss ~= "https://sidegate.test" or claims.aud ~= "api" or type(claims.exp) ~= "number"
    or claims.exp <= ngx.time() then
    return ngx.exit(401)
  end
  ngx.req.set_header("X-Auth-Subject", claims.sub)
end

return jwt
