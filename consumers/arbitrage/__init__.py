"""Flash arbitrage between two pools of one pair: exact integer maths, pool state, costs, signals.

constant_product, tick_math, concentrated   the contracts' own arithmetic
segments, two_pool                          the best cycle over two legs
pool_state, kept_ticks, pool_book           what the pools hold, through reorgs and gaps
screen                                      which pairs deserve an exact look (jitted)
legs, gas_rate, signal                      from pools to legs, from wei to tokens, from cycles to messages
flash_arbitrage                             the strategy
"""
