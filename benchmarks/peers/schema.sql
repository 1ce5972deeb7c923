-- What the peers write: an order and its log, without the guards, the trail and the isolation of Blotter.
CREATE TABLE orders (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    trader_id uuid NOT NULL,
    client_order_id text NOT NULL,
    symbol text NOT NULL,
    side text NOT NULL,
    order_type text NOT NULL,
    quantity integer NOT NULL,
    price numeric(18, 8),
    status text NOT NULL DEFAULT 'PENDING',
    filled_quantity integer NOT NULL DEFAULT 0,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (trader_id, client_order_id)
);

CREATE TABLE execution_logs (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    order_id uuid NOT NULL REFERENCES orders,
    action text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);

-- PL/pgSQL keeps the plans of both statements for the session.
CREATE FUNCTION submit_order(
    trader_id uuid, client_order_id text, symbol text, side text, order_type text, quantity integer, price numeric
) RETURNS orders LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    entered orders;
BEGIN
    INSERT INTO orders (trader_id, client_order_id, symbol, side, order_type, quantity, price)
    VALUES ($1, $2, $3, $4, $5, $6, $7)
    RETURNING * INTO entered;
    INSERT INTO execution_logs (order_id, action) VALUES (entered.id, 'SUBMITTED');
    RETURN entered;
END
$$;
