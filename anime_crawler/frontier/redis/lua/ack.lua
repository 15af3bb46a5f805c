-- ARGV: worker, then ids of requests that are done.
for i = 2, #ARGV do ack(ARGV[i]) end
