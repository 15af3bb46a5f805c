-- ARGV: worker, then ids of requests that are done. The script acks them.
for i = 2, #ARGV do ack(ARGV[i]) end
